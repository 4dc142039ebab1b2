"""The CSS of all pages; it follows the light or dark mode of the browser."""

STYLE = """
:root{color-scheme:light dark;--page:#f5f6f8;--card:#fff;--ink:#1b2330;--soft:#5d6878;--line:#e1e5eb;
--link:#0b63a5;--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#cc79a7;--c4:#b58900;--c5:#56b4e9;--c6:#5b4db1;
--c7:#6b7280}
@media(prefers-color-scheme:dark){:root{--page:#11151b;--card:#1a202a;--ink:#e7ebf1;--soft:#9aa6b6;
--line:#2c3441;--link:#6db8f2;--c0:#4ea8de;--c1:#f08c4a;--c2:#38c79b;--c3:#e19cc1;--c4:#e3c04f;--c5:#8fd0f5;
--c6:#a79cf0;--c7:#a5adba}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",Arial,sans-serif}
main,header{max-width:1240px;margin:0 auto;padding:0 20px}
header{padding-top:26px;padding-bottom:4px}
h1{margin:0;font-size:26px;line-height:1.2;overflow-wrap:anywhere}
header p{margin:4px 0 0;color:var(--soft)}
a{color:var(--link)}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;position:sticky;top:0;z-index:1;background:var(--page);
border-bottom:1px solid var(--line);padding:9px max(20px,calc(50% - 600px))}
nav:empty{display:none}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;margin:16px 0;padding:14px 18px 18px}
section[id]{scroll-margin-top:52px}
h2{margin:0 0 10px;font-size:16px;font-weight:600;overflow-wrap:anywhere}
h3{margin:18px 0 10px;font-size:14px;font-weight:600;color:var(--soft)}
.row{display:flex;gap:12px;margin-top:12px}
h2+.row,h3+.row{margin-top:0}
figure{margin:0;min-width:0}
figure[style]{flex:0 1 auto}
.note,.legend{font-size:13px;color:var(--soft)}
.note{margin:6px 0 0}
.legend{max-width:100ch}
.ramp{display:inline-block;width:84px;height:10px;border-radius:3px;vertical-align:-1px;
background:linear-gradient(90deg,#000005,#570f6e,#cc4745,#faa60a,#ffffd9);border:1px solid var(--line)}
.point{display:inline-block;width:10px;height:10px;vertical-align:-1px;background:#33ff4d;border:2px solid #000}
.row figcaption{margin-top:4px;font-size:13px;color:var(--soft);text-align:center;overflow-wrap:anywhere}
.row img{display:block;width:100%;height:auto;border-radius:4px;background:var(--line)}
.row img.enlarged{image-rendering:pixelated}
.row a:hover img{outline:2px solid var(--link);outline-offset:1px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:18px 28px}
.chart figcaption{display:flex;flex-wrap:wrap;gap:2px 18px;padding-left:10%;font-size:13px}
.chart i{display:inline-block;width:16px;height:3px;border-radius:2px;margin-right:6px;vertical-align:middle}
.chart b{font-weight:400;color:var(--soft);font-variant-numeric:tabular-nums}
svg{display:block;width:100%;height:auto}
svg text{fill:var(--soft);font-size:12px;font-variant-numeric:tabular-nums}
.grid{stroke:var(--line)}
.axis{stroke:var(--soft);opacity:.6}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round}
.band{opacity:.18}
summary{cursor:pointer}
summary h2{display:inline;margin:0}
dl{columns:3 300px;column-gap:28px;margin:12px 0 0;font-size:13px}
dl div{display:flex;justify-content:space-between;gap:12px;break-inside:avoid;padding:3px 0;
border-bottom:1px solid var(--line)}
dt{color:var(--soft)}
dd{margin:0;text-align:right;overflow-wrap:anywhere;min-width:0;font-family:ui-monospace,"DejaVu Sans Mono",monospace}
.cards{display:flex;flex-wrap:wrap;gap:16px;padding-top:16px}
.cards section{margin:0;max-width:100%}
@media(max-width:640px){.row{flex-wrap:wrap}.row figure{flex:0 1 calc(50% - 6px)}
.row figure:only-child,.row .wide{flex-basis:100%}main,header{padding-left:10px;padding-right:10px}nav{padding:8px 10px}}
"""
