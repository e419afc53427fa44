"""`watchstander rbac`: the Kubernetes manifests that give the agent its rights, and no more than those."""

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.exit_codes import OK
from collectors.errors import FixConfiguration

if TYPE_CHECKING:
    from policies.model import ActionKind

LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
NAMES = {
    "namespace": re.compile(LABEL),
    "template_namespace": re.compile(LABEL),
    "account": re.compile(rf"{LABEL}(\.{LABEL})*"),
    "lease": re.compile(rf"{LABEL}(\.{LABEL})*"),
}
"""What the API server asks of the names of each: a label or a subdomain of RFC 1123."""
HELP = "print the manifests that give the agent its rights in a cluster"
EPILOG = """\
In audit mode it may read and ask, and change nothing. In approve and enforce mode it may do on top what the actions of
the policy file need, with their undo.

  watchstander rbac | kubectl apply -f -
  watchstander rbac --mode enforce --policy policies.yaml | kubectl apply -f -
  watchstander rbac --people | kubectl apply -f -
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--mode", choices=("audit", "approve", "enforce"), default="audit", help="default: audit")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--policy", metavar="FILE", help="grant what this file's actions need; else the one that ships")
    what.add_argument("--actions", metavar="NAME,...", help="grant what these need: cordon, evict, restart_job ...")
    parser.add_argument("--jobs", metavar="KIND,...", help="kinds of jobs that may be restarted; default: all proven")
    parser.add_argument("--templates", metavar="KIND,...", help="what resets and reboots create: Job, RebootNode ...")
    parser.add_argument("--template-namespace", metavar="NAME", default="", help="of Jobs among them; else the agent's")
    parser.add_argument("--namespace", metavar="NAME", default="watchstander", help="of the agent")
    parser.add_argument("--account", metavar="NAME", default="watchstander-agent", help="its service account")
    parser.add_argument("--lease", metavar="NAME", default="watchstander", help="as actions.lease_name")
    parser.add_argument("--people", action="store_true", help="print the roles for people and collectors instead")


def run(args: argparse.Namespace) -> int:
    """Print YAML."""
    import yaml

    from policies.cluster.needs import JOB_NEEDS, TEMPLATE_NEEDS, UNPROVEN_NEEDS
    from policies.cluster.rbac import manifests, roles_for_people
    from policies.model import ActionKind, Mode

    for option in NAMES:
        _check_name(option, getattr(args, option))
    if args.people:
        made = roles_for_people()
    else:
        kinds = _chosen("--jobs", args.jobs, [*JOB_NEEDS, *UNPROVEN_NEEDS]) or frozenset(JOB_NEEDS)
        named = _chosen("--actions", args.actions, [kind.value for kind in ActionKind])
        made = manifests(
            Mode(args.mode),
            [ActionKind(name) for name in named] if args.actions else _of_policy(args.policy),
            namespace=args.namespace,
            account=args.account,
            jobs=kinds & JOB_NEEDS.keys(),
            unproven=kinds & UNPROVEN_NEEDS.keys(),
            templates=_chosen("--templates", args.templates, list(TEMPLATE_NEEDS)),
            template_namespace=args.template_namespace,
            lease=args.lease,
        )
    sys.stdout.write(yaml.safe_dump_all(made, sort_keys=False))
    return OK


def _check_name(option: str, name: str) -> None:
    """Empty: not given."""
    if name and not NAMES[option].fullmatch(name):
        raise FixConfiguration(
            f"--{option.replace('_', '-')} {name[:70]}: no name in Kubernetes: small letters, digits and dashes, 63 at "
            "most, a letter or digit first and last"
        )


def _chosen(option: str, said: str | None, known: list[str]) -> frozenset[str]:
    names = [name for name in (said or "").split(",") if name]
    for name in names:
        if name not in known:
            raise FixConfiguration(f"{option} {name}: no such one; there are {', '.join(known)}")
    return frozenset(names)


def _of_policy(path: str | None) -> "list[ActionKind]":
    from policies.rules import default_policy, load_policy

    policy = load_policy(Path(path)) if path else default_policy()
    return sorted({action for compiled in policy.rules for action in compiled.rule.actions})
