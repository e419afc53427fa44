"""The catalogue of Xids, and the page made from it."""

from pathlib import Path

import pytest

from collectors.kernel_log import XID_CATALOGUE, XidDomain
from collectors.kernel_log.xid_page import as_markdown


def test_the_page_in_docs_is_the_one_that_the_catalogue_makes():
    assert as_markdown() == (Path(__file__).parents[3] / "docs" / "xids.md").read_text(encoding="utf-8")


def test_every_entry_stands_under_its_own_code():
    assert list(XID_CATALOGUE) == [xid.code for xid in XID_CATALOGUE.values()]


@pytest.mark.parametrize(
    "code", [46, 48, 54, 62, 63, 64, 74, 79, 95, 109, 110, 119, 120, 136, 140, 142, 143, 151, 155, 156, 158]
)
def test_what_kills_a_node_on_eks_is_in_the_catalogue(code: int):
    assert XID_CATALOGUE[code].eks_fatal


def test_systems_that_disagree_are_both_kept():
    row_remap = XID_CATALOGUE[63]

    assert row_remap.nvidia_action == "IGNORE"
    assert row_remap.gpud.startswith("fatal")
    assert row_remap.eks_fatal
    assert not row_remap.gcm_critical


@pytest.mark.parametrize(
    ("code", "domain", "action"),
    [
        (13, XidDomain.APPLICATION, "RESTART_APP"),
        (79, XidDomain.HARDWARE, "RESTART_BM"),
        (74, XidDomain.LINK, "WORKFLOW_NVLINK_ERR"),
        (119, XidDomain.FIRMWARE, "RESET_GPU"),
        (149, XidDomain.LINK, "WORKFLOW_NVLINK5_ERR"),
        (154, XidDomain.INFORMATIONAL, "XID_154"),
    ],
)
def test_the_domain_says_where_to_look_first(code: int, domain: XidDomain, action: str):
    assert (domain, action) == (XID_CATALOGUE[code].domain, XID_CATALOGUE[code].nvidia_action)
