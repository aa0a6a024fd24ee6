"""Model bundles over MQTT and HTTPS: fetched, resumed after a cut, tested before the switch, rolled back."""

import asyncio
import contextlib
import hashlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agent.configuration import signing
from agent.configuration.bundles import MANIFEST, Bundles
from agent.configuration.bundles_fetch import HttpsSource, MqttSource
from agent.configuration.bundles_remote import RemoteBundles
from agent.configuration.remote_trial import Acts
from agent.configuration.store_journal import Phase, Revision
from agent.failures import RenzhengError
from agent.transport.issuer_client import mqtt_link
from agent.transport.outbox import Outbox, OutboxSender
from agent.trust import identity
from agent.trust.clock import Clock
from agent.wire import configuration, topics
from agent.wire.keys import KeyRing, SoftwareSigner
from issuer import config_outgoing, store
from issuer.config_bundles import BundleFiles
from tests.protocol.wire_stack import Stack, free_port, needs_broker, stack
from tests.unit.config_world import new_signer

pytestmark = needs_broker


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("stack")) as made:
        yield made


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A bundle of three megabytes that is no model: nothing here looks inside."""
    folder = tmp_path / "models"
    folder.mkdir()
    block = hashlib.sha256(b"weights").digest()
    (folder / "embed.tflite").write_bytes(block * 90_000)
    (folder / "detect.tflite").write_bytes(block[::-1] * 5_000)
    (folder / "manifest.toml").write_text("version = 1\n")
    return folder


async def _nothing(_revision: Revision | None = None) -> None:
    return None


class Terminal:
    """A terminal that takes bundles, and applies them in place."""

    def __init__(self, world: Stack, name: str, folder: Path) -> None:
        self.name = name
        self.world = world
        self.authority: SoftwareSigner = new_signer()
        self.bundles = Bundles(folder / "bundles", KeyRing([self.authority.public_key]))
        self.tested: list[Path] = []
        self.fail_golden = False
        self.apply: Callable[[Revision | None], Awaitable[None]] = _nothing
        self.origins: tuple[str, ...] = ()
        self.tls: ssl.SSLContext | None = None
        self._folder = folder
        self._identity = identity.load(world.enroll(name))

    def send(self, models: Path, number: int, *, origins: tuple[str, ...] = (), held: bool = True) -> bytes:
        manifest = signing.unsigned_manifest(models, number=number, target=f"terminal:{self.name}", origins=origins)
        signed = configuration.sign_manifest(manifest, self.authority)
        if held:
            for path in models.iterdir():
                BundleFiles(self.world.root).add(path)
        with store.opened(store.sqlite_url(self.world.layout.database)) as engine:
            config_outgoing.enter(engine, topics.BUNDLE, [self.name], signed)
        return signed

    async def until(self, state: str, reason: str = "", *, number: int = 0, seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            last = self.bundles.journal.read().history[-1:]
            if [(step.state, step.reason) for step in last] == [(state, reason)] and last[0].revision.number >= number:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(self.bundles.journal.read())

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async def golden(path: Path) -> None:
            self.tested.append(path)
            assert self.bundles.journal.read().phase is Phase.SETTLED
            if self.fail_golden:
                raise RenzhengError("camera.gone", "told to fail")

        link = mqtt_link(self._identity, [self.world.url], online=b"online", offline=b"offline")
        outbox = Outbox(self._folder / "outbox.db", bytes(32))
        sender = OutboxSender(outbox, link, self._identity, clock=Clock(), patience=0.5)
        remote = RemoteBundles(
            self.bundles,
            link,
            outbox,
            Acts(self.apply, _nothing, _nothing),
            golden,
            terminal=self.name,
            clock=lambda: int(time.time()),
            origins=self.origins,
            tls=self.tls,
        )
        self.bundles.boot()
        link.start()
        tasks = [asyncio.create_task(sender.run()), asyncio.create_task(remote.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await link.stop()
            await outbox.close()

    def arrived(self) -> int:
        return sum(path.stat().st_size for path in (self._folder / "bundles" / "files").glob("*.part"))

    def folders(self) -> set[int]:
        """The numbers of the bundles that are laid out."""
        return {int(path.name.partition("-")[0]) for path in (self._folder / "bundles").glob("[0-9]*-*")}


def same(folder: Path | None, models: Path) -> bool:
    assert folder is not None
    names = {path.name for path in folder.iterdir()} - {MANIFEST}
    return names == {path.name for path in models.iterdir()} and all(
        (folder / name).read_bytes() == (models / name).read_bytes() for name in names
    )


async def test_a_bundle_comes_over_mqtt_and_is_tested_before_the_switch(
    world: Stack, tmp_path: Path, models: Path
) -> None:
    terminal = Terminal(world, "bundle-1", tmp_path)
    async with terminal.running():
        terminal.send(models, 1)
        await terminal.until("committed")
    assert same(terminal.bundles.boot(), models)
    assert len(terminal.tested) == 1


async def test_the_fetch_goes_on_after_issuer_and_terminal_were_gone(
    world: Stack, tmp_path: Path, models: Path
) -> None:
    terminal = Terminal(world, "bundle-2", tmp_path)
    async with terminal.running():
        terminal.send(models, 1)
        # In the middle of the large file: the small one is whole, and no part any more, in a moment.
        while terminal.arrived() <= 5_000 * 32:  # noqa: ASYNC110 - the network fills it
            await asyncio.sleep(0.001)
        world.stop_issuer()
        at_the_cut = terminal.arrived()
        assert 0 < at_the_cut < 90_000 * 32
    world.start_issuer()
    async with terminal.running():
        assert terminal.arrived() >= at_the_cut
        await terminal.until("committed")
    assert same(terminal.bundles.boot(), models)


async def test_what_fails_its_golden_test_is_never_put_in_force(world: Stack, tmp_path: Path, models: Path) -> None:
    terminal = Terminal(world, "bundle-3", tmp_path)
    terminal.fail_golden = True
    async with terminal.running():
        terminal.send(models, 1)
        await terminal.until("rolled_back", "camera.gone")
        assert terminal.bundles.boot() is None
        terminal.fail_golden = False
        terminal.send(models, 2)
        await terminal.until("committed")


async def test_a_damaged_bundle_gives_way_to_the_last_good_one(world: Stack, tmp_path: Path, models: Path) -> None:
    terminal = Terminal(world, "bundle-4", tmp_path)
    async with terminal.running():
        terminal.send(models, 1)
        await terminal.until("committed")
        first = terminal.bundles.boot()
        (models / "detect.tflite").write_bytes(b"a newer one" * 1000)
        terminal.send(models, 2)
        await terminal.until("committed", number=2)
    second = terminal.bundles.boot()
    assert second is not None
    (second / "detect.tflite").write_bytes(b"damaged")
    assert terminal.bundles.boot() == first
    assert terminal.bundles.journal.read().history[-1].reason == "bundle.unusable"


class Origin:
    """An HTTPS server of files, with ranges, that may cut the connection or lie."""

    def __init__(self, models: Path, certificate: Path, key: Path) -> None:
        self.models = models
        self.asked: list[tuple[str, str]] = []
        self.cut_after = 0
        self.lie = False
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate, key)
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/models/"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self.asked.append((name, request.headers.get("Range", "")))
        content = (self.models / name).read_bytes()
        start = request.http_range.start or 0
        if self.lie:
            content = bytes(len(content))
        response = web.StreamResponse(status=206)
        response.content_length = len(content) - start
        await response.prepare(request)
        if self.cut_after and len(content) - start > self.cut_after:
            await response.write(content[start : start + self.cut_after])
            assert request.transport is not None
            request.transport.abort()
        else:
            await response.write(content[start:])
        return response

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/models/{name}", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=self._context).start()
        try:
            yield
        finally:
            await runner.cleanup()


def https(world: Stack, terminal: Terminal, models: Path) -> Origin:
    broker = world.layout.broker / "server"
    origin = Origin(models, broker.with_suffix(".pem"), broker.with_suffix(".key"))
    terminal.origins = (origin.url,)
    terminal.tls = ssl.create_default_context(cafile=world.layout.authority("transport").with_suffix(".pem"))
    return origin


async def test_a_bundle_comes_by_https_in_ranges_although_the_line_is_cut(
    world: Stack, tmp_path: Path, models: Path
) -> None:
    terminal = Terminal(world, "bundle-5", tmp_path)
    origin = https(world, terminal, models)
    origin.cut_after = 1_000_000
    async with origin.running(), terminal.running():
        terminal.send(models, 1, origins=(origin.url,), held=False)
        await terminal.until("committed")
    assert same(terminal.bundles.boot(), models)
    ranges = [asked for name, asked in origin.asked if name == "embed.tflite"]
    assert len(ranges) >= 3
    assert all(asked != "bytes=0-" for asked in ranges[1:])


async def test_a_lying_origin_changes_nothing(world: Stack, tmp_path: Path, models: Path) -> None:
    terminal = Terminal(world, "bundle-6", tmp_path)
    origin = https(world, terminal, models)
    origin.lie = True
    async with origin.running(), terminal.running():
        terminal.send(models, 1, origins=(origin.url,), held=False)
        await terminal.until("refused", "bundle.digest")
    assert terminal.bundles.boot() is None
    assert terminal.tested == []


async def test_an_origin_that_is_not_allowed_is_not_even_asked(world: Stack, tmp_path: Path, models: Path) -> None:
    terminal = Terminal(world, "bundle-7", tmp_path)
    origin = https(world, terminal, models)
    terminal.origins = ("https://models.example/",)
    async with origin.running(), terminal.running():
        terminal.send(models, 1, origins=(origin.url,), held=False)
        await terminal.until("refused", "bundle.origin")
    assert origin.asked == []
    with pytest.raises(RenzhengError):
        HttpsSource(origin.url, ())


async def test_a_manifest_that_nobody_signed_is_refused(world: Stack, tmp_path: Path, models: Path) -> None:
    terminal = Terminal(world, "bundle-8", tmp_path)
    honest: Any = terminal.authority
    terminal.authority = new_signer()
    async with terminal.running():
        terminal.send(models, 1)
        await terminal.until("refused", "configuration.unsigned")
        terminal.authority = honest
        terminal.send(models, 1)
        await terminal.until("committed")


async def test_old_bundles_go_also_where_each_is_applied_by_a_new_start(
    world: Stack, tmp_path: Path, models: Path
) -> None:
    terminal = Terminal(world, "bundle-forget", tmp_path)
    applied = asyncio.Event()

    async def start_anew(_revision: Revision | None) -> None:
        applied.set()
        await asyncio.Event().wait()

    terminal.apply = start_anew
    for number in (1, 2, 3):
        (models / "manifest.toml").write_text(f"version = {number}\n")
        applied.clear()
        async with terminal.running():
            terminal.send(models, number)
            async with asyncio.timeout(20):
                await applied.wait()
        async with terminal.running():
            await terminal.until("committed", number=number)
            end = time.monotonic() + 10
            while terminal.folders() != {number, number - 1} - {0}:
                assert time.monotonic() < end, terminal.folders()
                await asyncio.sleep(0.02)


def test_what_a_power_cut_left_half_laid_out_goes_with_its_files(tmp_path: Path) -> None:
    bundles = Bundles(tmp_path, KeyRing([]))
    for name in ("files", ".7-0123456789abcdef.new"):
        (tmp_path / name).mkdir()
    (tmp_path / "files" / "digest").write_bytes(b"weights")
    (tmp_path / ".7-0123456789abcdef.new" / "embed.tflite").hardlink_to(tmp_path / "files" / "digest")
    bundles.forget_others()
    assert [path.name for path in tmp_path.iterdir()] == ["files"]
    assert list((tmp_path / "files").iterdir()) == []


@pytest.mark.parametrize("in_the_way", ["", "files"])
async def test_a_disk_that_fails_is_told_and_ends_nothing(
    world: Stack, tmp_path: Path, models: Path, in_the_way: str
) -> None:
    terminal = Terminal(world, f"bundle-disk{in_the_way}", tmp_path)
    place = tmp_path / "bundles" / in_the_way
    manifest = signing.unsigned_manifest(models, number=1, target=f"terminal:{terminal.name}")
    signed = configuration.sign_manifest(manifest, terminal.authority)
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"a file where a folder belongs")
    link = mqtt_link(terminal._identity, [world.url], online=b"", offline=b"")
    revision = Revision(number=1, digest=configuration.digest(signed).hex())
    with pytest.raises(RenzhengError) as failed:
        await terminal.bundles.stage(signed, manifest, revision, MqttSource(link, terminal.name))
    assert failed.value.code == "bundle.disk"
