"""``/docs``: a page to read the API's document and to try requests, with Swagger UI from ``fastapi_offline``.

The page loads nothing from another host, and a key that is entered stays in the tab.
"""

from pathlib import Path

import fastapi_offline
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_SHIPPED = Path(fastapi_offline.__file__).parent / "static"
# As strict as the console's, except that Swagger UI needs styles in the page and pictures in its style sheet.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_PAGE = b"""<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>contactsync: Contacts API</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="/docs/swagger-ui.css">
  <script src="/docs/swagger-ui-bundle.js" defer></script>
  <script src="/docs/start.js" defer></script>
</head>
<body>
  <div id="api"></div>
  <noscript>This page needs JavaScript; the document itself is <a href="/openapi.json">/openapi.json</a>.</noscript>
</body>
</html>
"""
# Without a validator, because its badge would send the document's address to another host.
_START = b"""SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  displayOperationId: false,
  filter: true,
  tryItOutEnabled: false,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
"""


def routes() -> list[Route]:
    """Return the routes of the page, its script, and Swagger UI's two files."""
    return [
        _own("/docs", _PAGE, "text/html"),
        _own("/docs/start.js", _START, "text/javascript"),
        _shipped("swagger-ui-bundle.js", "text/javascript"),
        _shipped("swagger-ui.css", "text/css"),
    ]


def _own(path: str, content: bytes, media_type: str, caching: str = "no-cache") -> Route:
    async def serve(_: Request) -> Response:
        return Response(content, media_type=media_type, headers={**_HEADERS, "Cache-Control": caching})

    return Route(path, serve)


def _shipped(name: str, media_type: str) -> Route:
    # Read once: anybody may ask for them, and reading a file would take a thread of the API's each time. Browsers keep
    # them for a day, because they are large and change only with a release.
    content = (_SHIPPED / name).read_bytes()
    return _own(f"/docs/{name}", content, media_type, "public, max-age=86400")
