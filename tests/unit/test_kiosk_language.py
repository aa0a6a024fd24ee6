"""Every language says everything, and a further one is one file."""

import re
import tomllib
from pathlib import Path

import pytest

from agent.biometrics.types import Guidance
from agent.failures import catalogue
from agent.kiosk.language import load_languages

SHIPPED = Path(__file__).parents[2] / "agent/kiosk/languages"


def test_the_shipped_languages_leave_nothing_to_the_reference() -> None:
    files = {path.stem: tomllib.loads(path.read_text("utf-8")) for path in SHIPPED.glob("*.toml")}
    assert set(files) == {"en", "zh"}
    assert set(files["zh"]["page"]) == set(files["en"]["page"])


def test_every_sentence_keeps_the_parts_of_the_reference() -> None:
    languages = load_languages()
    for name, sentence in languages["en"].page.items():
        parts = set(re.findall(r"\{(\w+)\}", sentence))
        for code, language in languages.items():
            assert set(re.findall(r"\{(\w+)\}", language.page[name])) == parts, f"{code}: {name}"


def test_every_guidance_and_every_failure_has_a_sentence() -> None:
    for language in load_languages().values():
        assert {guidance.value for guidance in Guidance} <= set(language.page)
        assert {f"{guidance.value}_more" for guidance in Guidance} <= set(language.page)
        assert set(language.failures) == set(catalogue())
        assert all(language.failures.values())


def test_a_further_language_is_one_file_and_english_fills_its_gaps(tmp_path: Path) -> None:
    (tmp_path / "en.toml").write_text((SHIPPED / "en.toml").read_text("utf-8"), "utf-8")
    (tmp_path / "fr.toml").write_text(
        'name = "Français"\ntag = "fr-FR"\n[page]\nidle_title = "Posez votre document"\n'
        '[failures]\n"document.removed" = "Laissez votre document sur le lecteur."\n',
        "utf-8",
    )
    french = load_languages(tmp_path)["fr"]
    assert french.page["idle_title"] == "Posez votre document"
    assert french.page["deciding_title"] == "One moment"
    assert french.failures["document.removed"] == "Laissez votre document sur le lecteur."
    assert french.failures["document.expired"] == catalogue()["document.expired"].person["en"]


@pytest.mark.parametrize("line", ['idle_titel = "x"', '[failures]\n"document.lifted" = "x"'])
def test_a_sentence_that_nothing_asks_for_is_told(tmp_path: Path, line: str) -> None:
    (tmp_path / "en.toml").write_text((SHIPPED / "en.toml").read_text("utf-8"), "utf-8")
    (tmp_path / "fr.toml").write_text(f'name = "Français"\ntag = "fr-FR"\n[page]\n{line}\n', "utf-8")
    with pytest.raises(ValueError, match=r"fr\.toml"):
        load_languages(tmp_path)
