"""`/openapi.json`, and the page at `/docs` that shows the same document.

The page's script is another's, from a public CDN: one version, held to its checksum, and it may ask nobody but us.
"""

from typing import Any

from litestar import Request, get
from litestar.datastructures import State
from litestar.openapi.plugins import ScalarRenderPlugin

_SCRIPT = "https://cdn.jsdelivr.net/npm/@scalar/api-reference@1.72.1/dist/browser/standalone.js"
#: Of that file: `npm pack @scalar/api-reference@1.72.1`, then `openssl dgst -sha384 -binary … | openssl base64 -A`.
_CHECKSUM = "sha384-U11tb2XnKvmwt8RlTvnwUnYgrN+ur4Xyh9htLhjajWNR/Oyl5AX5DEz00qRmlrmK"
#: What the page may do, in the place of nothing: run that script, which styles the page as it goes.
PAGE_POLICY = (
    f"default-src 'none'; script-src {_SCRIPT}; style-src 'unsafe-inline'; img-src 'self' data: blob:; "
    "worker-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
).encode()
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body {{ margin: 0; padding: 0 }}</style>
</head>
<body>
<noscript>This page needs JavaScript; the document itself is at <a href="/openapi.json">/openapi.json</a>.</noscript>
<script id="api-reference" data-url="{document}"></script>
<script src="{script}" integrity="{checksum}" crossorigin="anonymous"></script>
</body>
</html>
"""


class Page(ScalarRenderPlugin):
    """Litestar's page, less a style sheet and a picture of whatever is at their addresses today."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The page."""
        return _PAGE.format(
            title=openapi_schema["info"]["title"],
            document="/openapi.json",
            script=_SCRIPT,
            checksum=_CHECKSUM,
        ).encode()


@get("/openapi.json", include_in_schema=False, sync_to_thread=False)
def document(request: Request[object, object, State]) -> dict[str, Any]:
    """The OpenAPI document."""
    return request.app.openapi_schema.to_schema()
