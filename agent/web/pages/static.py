"""The stylesheet, the script and the icon. Public: they tell nothing that the project's repository does not."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.access.guard import public
from agent.web.assets import assets

FOR_GOOD = "public, max-age=31536000, immutable"
BRIEFLY = "public, max-age=60"


@public
async def static(request: Request) -> Response:
    """GET /static/{name}"""
    asset = assets().get(request.path_params["name"])
    if asset is None:
        return Response("no such file\n", status_code=404, media_type="text/plain")
    etag = f'"{asset.digest}"'
    current = request.query_params.get("v") == asset.digest
    headers = {
        "cache-control": FOR_GOOD if current else BRIEFLY,
        "etag": etag,
    }
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)


ROUTES = [Route("/static/{name}", static, methods=["GET"])]
