"""The outcome of the checks as one page that opens offline (Great Expectations' own pages need a network)."""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem; color: #1d2733; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid #d8dee6; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
code { font-size: 13px; overflow-wrap: anywhere; }
.passed { color: #17703a; } .warning { color: #8a5200; } .critical { color: #b3261e; }
@media (prefers-color-scheme: dark) {
  body { background: #12171d; color: #dfe6ee; } th, td { border-color: #33404d; }
  .passed { color: #6fd08c; } .warning { color: #f0b357; } .critical { color: #ff8a80; }
}
"""


def checks_page(checks: Mapping[str, Any]) -> str:
    """The page for what a checks file holds; whatever comes from the data is escaped."""
    rows = "\n".join(_row(one) for one in checks["expectations"])
    reasons = "\n".join(
        f'<tr><td>{escape(reason)}</td><td class="number">{count:,}</td></tr>'
        for reason, count in checks["quarantined"].items()
    )
    aside = f"<h2>Rows set aside</h2>\n<table><tr><th>Reason<th>Rows</tr>\n{reasons}\n</table>" if reasons else ""
    title = f"Checks of the table: {escape(checks['table'])}"
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{STYLE}</style></head>
<body>
<h1>{title}</h1>
<p>{checks["n_rows"]:,} rows, {checks["n_quarantined"]:,} set aside.</p>
<table>
<thead><tr><th>Column<th>Rule<th>Severity<th>Result<th>Rows<th>Examples</tr></thead>
<tbody>
{rows}
</tbody>
</table>
{aside}
</body>
</html>
"""


def _row(one: Mapping[str, Any]) -> str:
    style = "passed" if one["passed"] else one["severity"]
    examples = "<br>".join(f"<code>{escape(json.dumps(row, ensure_ascii=False))}</code>" for row in one["examples"])
    return (
        f"<tr><td>{escape(one['column'] or 'whole table')}</td><td>{escape(one['rule'])}</td>"
        f'<td>{escape(one["severity"])}</td><td class="{style}">{"passed" if one["passed"] else "failed"}</td>'
        f'<td class="number">{one["n_failed"]:,}</td><td>{examples}</td></tr>'
    )
