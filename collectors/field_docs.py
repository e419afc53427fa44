"""The string that stands under each field of a struct or dataclass: settings are documented where they are declared."""

import ast
import inspect


def field_docstrings(owner: type) -> dict[str, str]:
    """Field to its text, on one line, read from the source; a field without one is left out."""
    body = ast.parse(inspect.getsource(owner)).body[0]
    texts: dict[str, str] = {}
    name = ""
    for node in body.body if isinstance(body, ast.ClassDef) else []:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and name:
            texts[name] = " ".join(str(node.value.value).split())
            name = ""
    return texts
