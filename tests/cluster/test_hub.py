"""ipyparallel's private interface is as `cluster.hub` expects it."""

import inspect

import ipyparallel

from calolab.cluster import hub


def test_the_hub_and_engines_answer_through_ipyparallels_private_interface(searchers):
    """If this fails after an update of ipyparallel, adapt `hub._ask_hub` and `hub._ask_engine`."""
    assert list(inspect.signature(ipyparallel.Client._send).parameters)[:6] == [
        *("self", "socket", "msg_type", "content", "parent", "ident"),
    ]
    client = searchers.client
    asked = hub._ask_hub(client, "queue_request", {"targets": None, "verbose": False})
    asked.wait(10)
    content = asked.result()["content"]
    assert content["status"] == "ok" and {str(number) for number in client.ids} <= set(content)
    for engine in client.ids:
        asked = hub._ask_engine(client, engine, "usage_request")
        asked.wait(10)
        assert {"hostname", "pid", "kernel_memory", "kernel_cpu"} <= set(asked.result()["content"])


def test_usage_is_that_of_live_engines(searchers):
    found = hub.usage(searchers.client, searchers.ids)
    assert tuple(found) == searchers.ids
    assert [found[number]["pid"] for number in searchers.ids] == searchers.client[:].apply_sync(__import__("os").getpid)
