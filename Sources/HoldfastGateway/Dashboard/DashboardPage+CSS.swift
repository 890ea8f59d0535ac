// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// The page's style, light and dark.
  static let css = #"""
    :root {
      --ground: #f4f6f6; --panel: #ffffff; --ink: #14201f; --soft: #5b6b69; --line: #dfe6e5;
      --accent: #0f8f83; --accent-soft: #bfe3de; --bad: #b3402f; --warn: #8a6100;
      --shadow: 0 1px 2px rgb(10 30 28 / 6%), 0 8px 24px -16px rgb(10 30 28 / 25%);
      font: 16px/1.5 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --ground: #0e1514; --panel: #16201f; --ink: #e5efed; --soft: #93a5a2; --line: #26332f;
        --accent: #35c2b2; --accent-soft: #1d4a45; --bad: #ff8f7d; --warn: #e5bb5b;
        --shadow: none;
      }
    }
    * { box-sizing: border-box; }
    body { margin: 0; background: var(--ground); color: var(--ink); }
    header, main, footer { max-width: 64rem; margin: 0 auto; padding: 0 1.25rem; }
    header { display: flex; align-items: center; justify-content: space-between; gap: 1rem; padding-top: 1.5rem; }
    h1 { display: flex; align-items: center; gap: .6rem; font-size: 1.35rem; letter-spacing: -.01em; margin: 0; }
    h2 { font-size: .95rem; font-weight: 600; margin: 0; }
    p { margin: 0; }
    .live { display: flex; align-items: center; gap: .5rem; color: var(--soft); font-size: .875rem; text-align: right; }
    .live::before { content: ""; flex: none; width: .55rem; height: .55rem; border-radius: 50%; background: var(--soft); }
    .live.ok::before { background: var(--accent); }
    .live.degraded::before { background: var(--warn); }
    .live.failing::before, .live.lost::before { background: var(--bad); }
    .cards { display: grid; grid-template-columns: repeat(3, 1fr); gap: 1rem; margin: 1.5rem 0 1rem; }
    .card, .panel {
      background: var(--panel); border: 1px solid var(--line); border-radius: .8rem; box-shadow: var(--shadow);
    }
    .card { padding: 1.1rem 1.25rem; min-width: 0; }
    .card h2 { color: var(--soft); font-weight: 500; }
    .money {
      font-size: clamp(1.35rem, 4.6vw, 2.1rem); font-weight: 650; letter-spacing: -.02em; line-height: 1.25;
      font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
    }
    .sub { color: var(--soft); font-size: .875rem; }
    .notice {
      border: 1px solid var(--line); border-left: 4px solid var(--warn); border-radius: .5rem; background: var(--panel);
      padding: .6rem .9rem; margin-bottom: 1rem; font-size: .9rem;
    }
    .panel { padding: 1.1rem 1.25rem 1rem; margin-bottom: 1rem; }
    .panel-head { display: flex; align-items: center; justify-content: space-between; gap: 1rem; margin-bottom: .75rem; }
    .hint { color: var(--soft); font-size: .875rem; font-variant-numeric: tabular-nums; text-align: right; }
    #chart { display: block; width: 100%; height: 13rem; }
    #chart .bar { fill: var(--accent); }
    #chart .bar.none { fill: var(--accent-soft); }
    #chart .hit { fill: transparent; }
    #chart g:hover .bar, #chart g:focus .bar { opacity: .72; }
    #chart g { outline: none; }
    #chart .rule { stroke: var(--line); stroke-width: 1; vector-effect: non-scaling-stroke; }
    .axis { display: flex; justify-content: space-between; color: var(--soft); font-size: .75rem; margin-top: .35rem; }
    .tabs { display: flex; gap: .25rem; }
    .tabs button {
      font: inherit; font-size: .85rem; color: var(--soft); background: none; border: 1px solid transparent;
      border-radius: .45rem; padding: .2rem .6rem; cursor: pointer;
    }
    .tabs button[aria-pressed="true"] { color: var(--ink); border-color: var(--line); background: var(--ground); }
    .tabs button:focus-visible, a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
    .scroll { overflow-x: auto; margin: 0 -1.25rem; padding: 0 1.25rem; }
    table { width: 100%; border-collapse: collapse; font-size: .925rem; font-variant-numeric: tabular-nums; }
    th { text-align: left; font-weight: 500; color: var(--soft); padding: .35rem .75rem .35rem 0; white-space: nowrap; }
    td { border-top: 1px solid var(--line); padding: .5rem .75rem .5rem 0; }
    td:first-child { overflow-wrap: anywhere; min-width: 8rem; }
    .n { text-align: right; white-space: nowrap; }
    .n:last-child { padding-right: 0; }
    .mark { color: var(--warn); font-size: .8rem; }
    .empty { color: var(--soft); text-align: center; padding: 2rem 0; }
    footer { display: flex; justify-content: space-between; gap: 1rem; color: var(--soft); font-size: .8rem; padding-bottom: 2rem; }
    footer a { color: inherit; }
    @media (max-width: 40rem) {
      header, main, footer { padding-left: .9rem; padding-right: .9rem; }
      .cards { gap: .6rem; margin-top: 1rem; }
      .card { padding: .8rem .85rem; }
      .wide { display: none; }
      table { font-size: .82rem; }
      th, td { padding-right: .5rem; }
      td:first-child { min-width: 5rem; }
      #chart { height: 9rem; }
      footer { flex-direction: column; }
    }
    @media (max-width: 26rem) { .cards { grid-template-columns: 1fr; } }
    @media (prefers-reduced-motion: no-preference) {
      .flash { animation: flash 1.2s ease-out; }
      @keyframes flash { from { color: var(--accent); } }
    }

    """#
}
