"""The broker's access rules come from the topic table, and the examples in the documentation are what is made."""

from pathlib import Path

import pytest

from agent.wire import topics
from issuer import broker, dynamic_security

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "broker"


def test_the_example_in_the_documentation_is_what_is_made() -> None:
    assert (DOCUMENTATION / "acl.conf").read_text("utf-8") == broker.access_rules()
    made = broker.configuration("/etc/renzheng-issuer/broker", 8883, "acl_file /etc/renzheng-issuer/broker/acl.conf")
    assert (DOCUMENTATION / "mosquitto.conf").read_text("utf-8") == made


def test_no_rule_gives_a_terminal_more_than_its_own_topics() -> None:
    for line in broker.access_rules().splitlines():
        if line.startswith("pattern"):
            assert "%u" in line or line == f"pattern read {topics.EPOCH.address}"
            assert "#" not in line
            assert "+" not in line


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.address)
def test_a_topic_is_written_by_its_publisher_and_read_by_the_other(topic: topics.Topic) -> None:
    rules = dynamic_security.terminal_rules("lobby-1")
    mine = {rule["acltype"] for rule in rules if rule["topic"] == topic.of("lobby-1")}
    reads = {"subscribeLiteral", "publishClientReceive"}
    assert mine == (reads if topic.publisher == topics.ISSUER else {"publishClientSend"})


def test_everything_else_is_denied() -> None:
    access = dynamic_security.document(["lobby-1"])["defaultACLAccess"]
    assert [kind for kind, allowed in access.items() if allowed] == ["unsubscribe"]
