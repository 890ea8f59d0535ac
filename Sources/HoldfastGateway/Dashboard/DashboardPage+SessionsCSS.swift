// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// The style of the sessions view.
  static let sessionsCSS = #"""
    .views { display: flex; gap: .25rem; margin-right: auto; margin-left: .75rem; }
    .views a {
      color: var(--soft); text-decoration: none; font-size: .9rem; border: 1px solid transparent; border-radius: .45rem;
      padding: .2rem .7rem;
    }
    .views a[aria-current] { color: var(--ink); border-color: var(--line); background: var(--panel); }
    .wide-view header, .wide-view footer { max-width: 90rem; }
    [hidden] { display: none !important; }
    #sessions { max-width: 90rem; display: grid; grid-template-columns: minmax(17rem, 24rem) 1fr; gap: 1rem; margin-top: 1.5rem; align-items: start; }
    #sessions .panel { min-width: 0; }
    #workers { margin-top: 1.5rem; }
    .browse { position: sticky; top: 1rem; max-height: calc(100vh - 2rem); display: flex; flex-direction: column; }
    .field {
      font: inherit; width: 100%; color: var(--ink); background: var(--ground); border: 1px solid var(--line);
      border-radius: .5rem; padding: .45rem .7rem;
    }
    .field.small { font-size: .875rem; padding: .3rem .6rem; margin-top: .5rem; }
    .field:focus-visible, .entry:focus-visible, .quiet:focus-visible, summary:focus-visible, .message:focus-visible {
      outline: 2px solid var(--accent); outline-offset: 1px;
    }
    .options { display: flex; flex-wrap: wrap; gap: .2rem .9rem; margin: .5rem 0 0; color: var(--soft); font-size: .8rem; }
    .options label { display: flex; align-items: center; gap: .3rem; cursor: pointer; }
    .options input { accent-color: var(--accent); margin: 0; }
    #found { text-align: left; margin: .5rem 0 .25rem; font-size: .8rem; }
    #found.bad, .problem { color: var(--warn); }
    #list { list-style: none; margin: 0 -1.25rem; padding: 0; overflow-y: auto; }
    .entry {
      display: block; padding: .5rem 1.25rem; color: inherit; text-decoration: none; border-top: 1px solid var(--line);
      outline-offset: -2px !important;
    }
    .entry:hover { background: var(--ground); }
    .entry[aria-current] { background: var(--accent-soft); }
    .entry > span { display: block; }
    .entry-head { display: flex !important; justify-content: space-between; gap: .75rem; }
    .entry-name { font-weight: 550; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
    .entry-name.small { font-size: .8rem; color: var(--soft); font-weight: 500; }
    .entry-cost { font-variant-numeric: tabular-nums; flex: none; }
    .entry-text { font-size: .9rem; overflow-wrap: anywhere; }
    .entry-facts, .facts { color: var(--soft); font-size: .78rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
    mark { background: var(--accent-soft); color: inherit; border-radius: .2rem; padding: 0 .1em; }
    [aria-current] mark { text-decoration: underline; text-decoration-thickness: 2px; }
    .quiet {
      font: inherit; font-size: .85rem; color: var(--soft); background: none; border: 1px solid var(--line);
      border-radius: .45rem; padding: .25rem .8rem; cursor: pointer;
    }
    .quiet:hover { color: var(--ink); }
    .browse > .quiet { margin-top: .5rem; align-self: center; }
    .read-head { display: flex; flex-wrap: wrap; align-items: start; gap: .5rem 1rem; justify-content: space-between; }
    .read-head h2 { font-size: 1.1rem; overflow-wrap: anywhere; }
    .read-head > div { min-width: 0; flex: 1 1 16rem; }
    .read-head code { color: var(--soft); font-size: .8rem; overflow-wrap: anywhere; }
    .back { display: none; }
    .sums { display: flex; flex-wrap: wrap; gap: .35rem 1.5rem; margin: .75rem 0; font-size: .875rem; }
    .sums dt { color: var(--soft); font-size: .75rem; }
    .sums dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
    #tree { margin: .5rem 0 .75rem; font-size: .9rem; }
    .tree, .tree ul { margin: .25rem 0; padding-left: 1.1rem; border-left: 1px solid var(--line); list-style: none; }
    .tree a { color: var(--accent); overflow-wrap: anywhere; }
    #read-above a { color: var(--accent); }
    summary { cursor: pointer; color: var(--soft); font-size: .85rem; overflow-wrap: anywhere; border-radius: .3rem; }
    .message {
      border-top: 1px solid var(--line); padding: .75rem 0 .75rem .9rem; border-left: 3px solid transparent;
      content-visibility: auto; contain-intrinsic-size: auto 6rem;
    }
    .message.user { border-left-color: var(--accent); }
    .message.system, .message.other { border-left-color: var(--line); }
    .message.faded { opacity: .6; }
    .message.target { background: var(--ground); box-shadow: 0 0 0 2px var(--accent); border-radius: .3rem; }
    .message > header { display: flex; flex-wrap: wrap; gap: .1rem .75rem; align-items: baseline; margin: 0 0 .25rem; padding: 0; max-width: none; justify-content: start; }
    .role { font-weight: 600; font-size: .85rem; }
    .seq { color: var(--soft); font-size: .78rem; text-decoration: none; font-variant-numeric: tabular-nums; }
    .seq:hover { text-decoration: underline; }
    .text { white-space: pre-wrap; overflow-wrap: anywhere; }
    .text + .text, .code + .text, .text + .code, details + details { margin-top: .4rem; }
    .code {
      font: .85rem/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; background: var(--ground);
      border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; margin: .4rem 0 0; overflow: auto;
      max-height: 32rem; white-space: pre-wrap; overflow-wrap: anywhere;
    }
    .steps { display: flex; gap: .5rem; flex-wrap: wrap; align-items: center; }
    .actions { margin-top: .35rem; }
    #earlier, #later { display: block; margin: .75rem auto; }
    .keys { color: var(--soft); font-size: .8rem; text-align: center; }
    kbd { font: inherit; border: 1px solid var(--line); border-radius: .3rem; padding: 0 .35rem; background: var(--ground); }
    @media (max-width: 56rem) {
      #sessions { grid-template-columns: 1fr; margin-top: 1rem; }
      .browse { position: static; max-height: none; }
      .reading .browse, #read-empty { display: none; }
      .back { display: inline-block; }
    }
    @media (max-width: 40rem) {
      header h1 { font-size: 1.1rem; }
      header { flex-wrap: wrap; }
      .views { margin-left: 0; }
    }

    """#
}
