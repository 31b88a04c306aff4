"""``python -m flows.plots``: let ``dvc plots show`` write pages that work offline (``make env`` calls it).

DVC's pages load vega from a CDN. The wheel of vl-convert carries vega, so a page template with it inside is written to
``.dvc/plots.html`` and named in ``.dvc/config.local``. Neither is committed; without them DVC falls back to the CDN.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from dconrec_core.atomic import write_text
from flows.frame import parser_of, run

TEMPLATE = "plots.html"
VEGA_LITE = "5.21"  # DVC's own templates are for version 5
EXPORTS = "window.vega = vega; window.vegaLite = vegaLite; window.vegaEmbed = vegaEmbed;"

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{{refresh_tag}}
<title>DVC plots</title>
<script>(() => {{
{bundle}
}})();</script>
<style>body {{ font-family: sans-serif; margin: 2rem; }} table {{ border-spacing: 15px; }}</style>
</head>
<body>
{{plot_divs}}
</body>
</html>
"""


def write_template(root: Path) -> None:
    """Write the page template and name it in DVC's local configuration."""
    import vl_convert  # half a second, and nothing else needs it

    from tasks.versioning import Versions

    path = root / ".dvc" / TEMPLATE
    bundle = vl_convert.javascript_bundle(EXPORTS, vl_version=VEGA_LITE)
    write_text(path, PAGE.format(bundle=bundle.replace("</script", "<\\/script")))
    with Versions(root) as versions:
        versions.set_local("plots", "html_template", TEMPLATE)


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when DVC's pages work offline."""
    return run(parser_of("flows.plots", __doc__), arguments, lambda asked: write_template(Path()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
