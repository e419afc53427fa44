"""The page of a job: what can be pasted, what adds up, and that no log text becomes markup."""

import yaml
from api_story import HOSTILE_SEEN
from served_agent import ServedAgent
from test_web_pages import Page


def test_the_snippet_can_be_pasted_as_it_stands(agent: ServedAgent) -> None:
    """Line by line, as YAML."""
    text = agent.get("/jobs/job-uid-llama").text
    snippet = text.partition('<pre class="log snippet">')[2].partition("</pre>")[0]

    read = yaml.safe_load(snippet.replace("&#34;", '"'))

    terms = read["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms[0]["matchExpressions"][0]["values"] == ["gpu-node-07"]


def test_the_bar_is_as_wide_as_the_whole(agent: ServedAgent) -> None:
    """One piece a cause, none beside the bar."""
    rects = [r for r in Page(agent.get("/jobs/llama-70b-pretrain").text).of("rect") if r.get("height") == "28"]

    assert sum(float(rect["width"] or 0) for rect in rects) == 1000.0
    assert {rect["class"] for rect in rects} == {
        "cause-productive",
        "cause-start_up",
        "cause-checkpoint",
        "cause-failure",
    }


def test_names_and_paths_from_logs_are_shown_and_obeyed_in_nothing(agent: ServedAgent) -> None:
    """Markup in a job's name, a node's name and a path."""
    answer = agent.get("/jobs/job-uid-evil")

    assert "<script>alert" not in answer.text
    assert HOSTILE_SEEN in Page(answer.text).text
