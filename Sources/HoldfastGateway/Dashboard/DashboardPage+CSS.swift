// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// The frame of the page, and what all of its views are made of.
  static let css =
    themeCSS + #"""
      :root {
        font: 16px/1.5 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
      }
      * { box-sizing: border-box; }
      [hidden] { display: none !important; }
      body { margin: 0; background: var(--ground); color: var(--ink); overflow-wrap: break-word; }
      body > header, main, footer { max-width: 80rem; margin: 0 auto; padding: 0 1.5rem; }
      body > header { display: flex; align-items: center; gap: .75rem 1rem; padding-top: 1.1rem; padding-bottom: 1.1rem; flex-wrap: wrap; }
      #content:focus, main:focus { outline: none; }
      h1 { display: flex; align-items: center; gap: .6rem; font-size: 1.2rem; letter-spacing: -.015em; margin: 0; }
      h2 { font-size: .95rem; font-weight: 620; letter-spacing: -.005em; margin: 0; }
      p { margin: 0; }
      a { color: var(--accent); }
      .out {
        position: absolute; width: 1px; height: 1px; margin: -1px; padding: 0; overflow: hidden; clip-path: inset(50%); white-space: nowrap;
        border: 0;
      }
      .skip { position: absolute; left: .75rem; top: -4rem; z-index: 10; background: var(--accent); color: var(--on-accent); padding: .5rem 1rem; border-radius: .5rem; }
      .skip:focus { top: .75rem; }
      :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
      .seek { flex: 0 1 17rem; min-width: 9rem; margin-left: auto; }
      #seek-text { margin: 0; }
      .live {
        display: flex; align-items: center; gap: .5rem; color: var(--soft); font-size: .85rem; border: 1px solid var(--line);
        border-radius: 2rem; padding: .2rem .75rem; background: var(--panel); max-width: 22rem;
      }
      .live::before { content: ""; flex: none; width: .55rem; height: .55rem; border-radius: 50%; background: var(--soft); }
      .live.ok::before { background: var(--c0); }
      .live.degraded::before { background: var(--warn); }
      .live.failing::before, .live.lost::before { background: var(--bad); }
      .icon-button {
        font: inherit; display: grid; place-items: center; width: 2.1rem; height: 2.1rem; padding: 0; border: 1px solid var(--line);
        border-radius: 50%; color: var(--soft); background: var(--panel); cursor: pointer;
      }
      .icon-button:hover { color: var(--ink); }
      .icon-button svg { width: 1.1rem; height: 1.1rem; }
      .panel {
        background: var(--panel); border: 1px solid var(--line); border-radius: .9rem; box-shadow: var(--shadow);
        padding: 1.1rem 1.25rem 1.15rem; min-width: 0; margin-bottom: 1rem;
      }
      .panel-head { display: flex; align-items: center; justify-content: space-between; gap: .5rem 1rem; margin-bottom: .85rem; flex-wrap: wrap; }
      .panel-head > h2 { margin-right: auto; }
      .hint { color: var(--soft); font-size: .85rem; font-variant-numeric: tabular-nums; }
      .notice {
        border: 1px solid var(--line); border-left: 4px solid var(--warn); border-radius: .5rem; background: var(--panel);
        padding: .6rem .9rem; margin-bottom: 1rem; font-size: .9rem;
      }
      .notice.bad { border-left-color: var(--bad); }
      .scroll { overflow-x: auto; margin: 0 -1.25rem; padding: 0 1.25rem; }
      table { width: 100%; border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
      th { text-align: left; font-weight: 500; color: var(--soft); font-size: .82rem; padding: .3rem .75rem .3rem 0; white-space: nowrap; }
      td, tbody th { border-top: 1px solid var(--line); padding: .5rem .75rem .5rem 0; }
      tbody th { color: inherit; font-size: inherit; font-weight: inherit; white-space: normal; }
      td:first-child, tbody th { overflow-wrap: anywhere; min-width: 8rem; }
      .n { text-align: right; white-space: nowrap; }
      .n:last-child { padding-right: 0; }
      .mark { color: var(--warn); font-size: .85rem; }
      .empty { color: var(--soft); text-align: center; padding: 2rem 0; }
      footer { display: flex; justify-content: space-between; gap: .5rem 1rem; flex-wrap: wrap; color: var(--soft); font-size: .8rem; padding-bottom: 2rem; }
      footer a { color: inherit; }
      @media (max-width: 46rem) {
        body > header, main, footer { padding-left: .9rem; padding-right: .9rem; }
        body > header { padding-top: .8rem; padding-bottom: .8rem; }
        body > header { gap: .6rem; }
        h1 { margin-right: auto; }
        .views { order: 4; flex-basis: 100%; margin: 0 !important; justify-content: space-between; gap: 0 !important; }
        .views a { padding: .2rem .5rem !important; }
        .seek { order: 5; flex-basis: 100%; margin: 0; }
        .live { max-width: 12rem; }
        .panel { padding: .9rem .95rem 1rem; border-radius: .75rem; }
        .scroll { margin: 0 -.95rem; padding: 0 .95rem; }
        .wide { display: none; }
        table { font-size: .82rem; }
        th, td { padding-right: .5rem; }
        td:first-child, tbody th { min-width: 5rem; }
      }

      """#
}
