// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// The style of the overview.
  static let overviewCSS = #"""
    .bar-of-choices { display: flex; align-items: center; gap: .6rem 1rem; flex-wrap: wrap; margin: .25rem 0 1rem; }
    .choices { display: inline-flex; flex-wrap: wrap; border: 0; margin: 0; padding: .2rem; gap: .1rem; background: var(--track); border-radius: .65rem; min-width: 0; }
    .choices label { position: relative; cursor: pointer; }
    .choices input { position: absolute; inset: 0; margin: 0; opacity: 0; cursor: pointer; }
    .choices span { display: block; padding: .22rem .7rem; border-radius: .5rem; font-size: .85rem; color: var(--soft); white-space: nowrap; }
    .choices input:checked + span { background: var(--raised); color: var(--ink); font-weight: 560; box-shadow: 0 1px 2px rgb(0 0 0 / 14%); }
    .choices input:hover + span { color: var(--ink); }
    .choices input:focus-visible + span { outline: 2px solid var(--accent); outline-offset: 1px; }
    .choices input:disabled + span { opacity: .45; }
    .small .choices span, .choices.small span { padding: .14rem .55rem; font-size: .8rem; }
    .cards { display: grid; grid-template-columns: repeat(5, 1fr); gap: 1rem; margin: 0 0 1rem; }
    .card { margin: 0; padding: 1rem 1.15rem; display: flex; flex-direction: column; gap: .1rem; }
    .card h2 { color: var(--soft); font-weight: 500; font-size: .85rem; }
    .figure {
      font-size: clamp(1.35rem, 2.1vw, 1.8rem); font-weight: 640; letter-spacing: -.025em; line-height: 1.3;
      font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
    }
    .figure small { font-size: .62em; font-weight: 520; color: var(--soft); letter-spacing: 0; }
    .sub { color: var(--soft); font-size: .82rem; font-variant-numeric: tabular-nums; }
    .delta { display: inline-block; font-variant-numeric: tabular-nums; }
    .delta.worse { color: var(--bad); }
    .delta.better { color: var(--good); }
    .waiting .figure, .waiting .sub { color: transparent; background: var(--track); border-radius: .4rem; width: fit-content; min-width: 5rem; user-select: none; }
    .waiting .sub { min-width: 8rem; margin-top: .35rem; }
    .columns { display: grid; grid-template-columns: minmax(0, 1.7fr) minmax(0, 1fr); gap: 0 1rem; align-items: start; }
    .chart { position: relative; height: 17rem; border-radius: .5rem; }
    .chart.low { height: 8.5rem; }
    .chart svg { display: block; width: 100%; height: 100%; overflow: visible; }
    .chart text { fill: var(--soft); font-size: 11px; font-variant-numeric: tabular-nums; }
    .chart .rule { stroke: var(--line); stroke-width: 1; shape-rendering: crispEdges; }
    .chart .cursor { fill: var(--ink); opacity: .06; }
    .chart .nothing { fill: var(--track); }
    .f0 { fill: var(--c0); } .f1 { fill: var(--c1); } .f2 { fill: var(--c2); } .f3 { fill: var(--c3); } .f4 { fill: var(--c4); }
    .f5 { fill: var(--c5); } .f6 { fill: var(--c6); } .f7 { fill: var(--c7); } .f-rest { fill: var(--rest); } .f-bad { fill: var(--bad); }
    .b0 { background: var(--c0); } .b1 { background: var(--c1); } .b2 { background: var(--c2); } .b3 { background: var(--c3); } .b4 { background: var(--c4); }
    .b5 { background: var(--c5); } .b6 { background: var(--c6); } .b7 { background: var(--c7); } .b-rest { background: var(--rest); } .b-bad { background: var(--bad); }
    .swatch { flex: none; width: .7rem; height: .7rem; border-radius: .2rem; }
    .legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; list-style: none; margin: .8rem 0 0; padding: 0; font-size: .82rem; }
    .legend li { display: flex; align-items: center; gap: .4rem; min-width: 0; overflow-wrap: anywhere; }
    .legend strong { font-weight: 560; font-variant-numeric: tabular-nums; white-space: nowrap; }
    .tip {
      position: absolute; top: 0; z-index: 3; pointer-events: none; min-width: 11rem; max-width: min(19rem, 80vw); padding: .6rem .8rem; font-size: .82rem;
      background: var(--raised); color: var(--ink); border: 1px solid var(--line); border-radius: .6rem; box-shadow: 0 8px 26px -8px rgb(0 0 0 / 35%);
    }
    .tip p { font-weight: 600; margin-bottom: .3rem; }
    .tip ul { list-style: none; margin: 0; padding: 0; }
    .tip li { display: flex; align-items: center; gap: .45rem; }
    .tip li span:nth-child(2) { flex: 1; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
    .tip li strong { font-weight: 560; font-variant-numeric: tabular-nums; }
    .as-table { margin-top: .7rem; }
    .as-table .scroll { max-height: 18rem; overflow: auto; margin-top: .5rem; }
    .share { display: block; height: .3rem; margin-top: .25rem; border-radius: .2rem; background: var(--track); overflow: hidden; }
    .share i { display: block; height: 100%; border-radius: .2rem; background: var(--accent); }
    .runs { list-style: none; margin: 0 -1.25rem -.5rem; padding: 0; min-height: 9rem; }
    .run { display: grid; grid-template-columns: auto minmax(0, 1fr) auto; gap: 0 .8rem; align-items: center; padding: .5rem 1.25rem; border-top: 1px solid var(--line); font-size: .88rem; }
    .run:first-child { border-top: 0; }
    .run .dot { width: .6rem; height: .6rem; border-radius: 50%; background: var(--rest); }
    .run.started .dot { background: none; border: 2px solid var(--c0); }
    .run.streaming .dot { background: var(--c0); }
    .run.failed .dot { background: var(--bad); }
    .run .name { font-weight: 560; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
    .run .facts { color: var(--soft); font-size: .8rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
    .run .out-side { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
    .run .out-side .facts { display: block; }
    .run.ended .name { font-weight: 480; }
    .runs .empty { padding: 2.2rem 1.25rem; }
    .track { position: relative; height: .55rem; border-radius: .35rem; background: var(--track); overflow: hidden; display: flex; margin: .45rem 0 .5rem; }
    .track i { display: block; height: 100%; }
    .track i:not([class]) { background: var(--accent); }
    .track i.warn { background: var(--warn); } .track i.bad { background: var(--bad); }
    .pairs { display: grid; grid-template-columns: repeat(auto-fit, minmax(7rem, 1fr)); gap: .6rem 1rem; margin: .8rem 0 0; }
    .pairs dt { color: var(--soft); font-size: .78rem; }
    .pairs dd { margin: 0; font-weight: 560; font-variant-numeric: tabular-nums; }
    .list { list-style: none; margin: 0; padding: 0; }
    .pairs + .list, .sub + .list { margin-top: 1rem; padding-top: .8rem; border-top: 1px solid var(--line); }
    .list > li { padding: .55rem 0; border-top: 1px solid var(--line); font-size: .88rem; }
    .list > li:first-child { border-top: 0; padding-top: 0; }
    .list .row { display: flex; justify-content: space-between; gap: .25rem 1rem; flex-wrap: wrap; }
    .list .row > :first-child { min-width: 0; overflow-wrap: anywhere; }
    .tag { font-size: .75rem; font-weight: 560; padding: .05rem .5rem; border-radius: 1rem; background: var(--accent-soft); color: var(--ink); white-space: nowrap; }
    .tag.warned { background: var(--warn-soft); } .tag.over { background: var(--bad-soft); }
    .start code { display: block; margin: .4rem auto 0; width: fit-content; max-width: 100%; overflow-wrap: anywhere; background: var(--track); color: var(--ink); padding: .2rem .6rem; border-radius: .4rem; font-size: .82rem; }
    @media (max-width: 68rem) {
      .cards { grid-template-columns: repeat(6, 1fr); }
      .card { grid-column: span 2; }
      .card:nth-child(-n+2) { grid-column: span 3; }
      .columns { grid-template-columns: minmax(0, 1fr); }
    }
    @media (max-width: 46rem) {
      .cards { gap: .6rem; }
      .card, .card:nth-child(-n+2) { grid-column: span 3; padding: .75rem .85rem; }
      .card:first-child { grid-column: 1 / -1; }
      .card:first-child .figure { font-size: 2rem; }
      .chart { height: 13rem; }
      .runs { margin: 0 -.95rem -.4rem; }
      .run { padding: .5rem .95rem; }
      .bar-of-choices { gap: .6rem; }
      .choices span { padding: .22rem .6rem; }
    }
    @media (prefers-reduced-motion: no-preference) {
      .run.streaming .dot { animation: beat 1.6s ease-in-out infinite; }
      .flash { animation: flash 1.2s ease-out; }
      .waiting .figure, .waiting .sub { animation: wait 1.4s ease-in-out infinite alternate; }
      .track i, .share i { transition: width .4s ease-out; }
      @keyframes beat { 50% { box-shadow: 0 0 0 .3rem color-mix(in srgb, var(--c0) 25%, transparent); } }
      @keyframes flash { from { color: var(--accent); } }
      @keyframes wait { to { opacity: .55; } }
    }

    """#
}
