// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// The page itself: a frame the script fills. Nothing is inline, so the content security policy needs no exception.
  static let html = #"""
    <!doctype html>
    <html lang="en">
    <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <title>Holdfast · overview</title>
      <link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
      <link rel="stylesheet" href="/assets/app.css">
      <link rel="stylesheet" href="/assets/overview.css">
      <link rel="stylesheet" href="/assets/sessions.css">
      <script src="/assets/theme.js"></script>
      <script src="/assets/format.js" defer></script>
      <script src="/assets/chart.js" defer></script>
      <script src="/assets/events.js" defer></script>
      <script src="/assets/overview.js" defer></script>
      <script src="/assets/requests.js" defer></script>
      <script src="/assets/sessions.js" defer></script>
      <script src="/assets/workers.js" defer></script>
      <script src="/assets/models.js" defer></script>
    </head>
    <body>
      <a class="skip" href="#content">Skip to the content</a>
      <header>
        <h1><img src="/assets/icon.svg" alt="" width="28" height="28"> Holdfast</h1>
        <nav class="views" aria-label="Views">
          <a href="#overview" data-view="overview" aria-current="page">Overview</a>
          <a href="#sessions" data-view="sessions">Sessions</a>
          <a href="#workers" data-view="workers">Workers</a>
          <a href="#catalog" data-view="catalog">Models</a>
        </nav>
        <form class="seek" id="seek" role="search">
          <input id="seek-text" class="field small" type="search" autocomplete="off" spellcheck="false" maxlength="2000"
            placeholder="Search sessions" aria-label="Search all sessions" aria-keyshortcuts="/">
        </form>
        <p id="live" class="live" role="status">connecting…</p>
        <button id="theme" class="icon-button" type="button" aria-label="Dark colours" aria-pressed="false">
          <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 3a9 9 0 1 0 0 18z" fill="currentColor"/><circle cx="12" cy="12" r="9" fill="none" stroke="currentColor" stroke-width="2"/></svg>
        </button>
      </header>
      <div id="content" tabindex="-1">
      <main id="overview" tabindex="-1">
        <h2 class="out">Overview</h2>
        <div class="bar-of-choices">
          <fieldset class="choices" id="range">
            <legend class="out">Period</legend>
            <label><input type="radio" name="range" value="1"><span>Today</span></label>
            <label><input type="radio" name="range" value="7" checked><span>7 days</span></label>
            <label><input type="radio" name="range" value="30"><span>30 days</span></label>
            <label><input type="radio" name="range" value="90"><span>90 days</span></label>
          </fieldset>
          <p class="hint" id="span">&nbsp;</p>
        </div>
        <p class="notice" id="notice" hidden></p>
        <section class="cards waiting" id="cards" aria-label="The period in numbers">
          <article class="panel card"><h2>Spend</h2><p class="figure" id="k-cost">&nbsp;</p><p class="sub" id="k-cost-sub">&nbsp;</p></article>
          <article class="panel card"><h2>Requests</h2><p class="figure" id="k-requests">&nbsp;</p><p class="sub" id="k-requests-sub">&nbsp;</p></article>
          <article class="panel card"><h2>Tokens</h2><p class="figure" id="k-tokens">&nbsp;</p><p class="sub" id="k-tokens-sub">&nbsp;</p></article>
          <article class="panel card"><h2>Saved by caching</h2><p class="figure" id="k-saved">&nbsp;</p><p class="sub" id="k-saved-sub">&nbsp;</p></article>
          <article class="panel card"><h2>First token, median</h2><p class="figure" id="k-latency">&nbsp;</p><p class="sub" id="k-latency-sub">&nbsp;</p></article>
        </section>
        <section class="panel small" aria-labelledby="trend-title">
          <div class="panel-head">
            <h2 id="trend-title">Spend over time</h2>
            <fieldset class="choices" id="measure">
              <legend class="out">What is counted</legend>
              <label><input type="radio" name="measure" value="cost" checked><span>Cost</span></label>
              <label><input type="radio" name="measure" value="tokens"><span>Tokens</span></label>
              <label><input type="radio" name="measure" value="requests"><span>Requests</span></label>
            </fieldset>
            <fieldset class="choices" id="split">
              <legend class="out">Grouped by</legend>
              <label><input type="radio" name="split" value="model" checked><span>Model</span></label>
              <label><input type="radio" name="split" value="source"><span>Program</span></label>
              <label><input type="radio" name="split" value="project"><span>Project</span></label>
              <label><input type="radio" name="split" value="provider"><span>Provider</span></label>
            </fieldset>
            <fieldset class="choices" id="step">
              <legend class="out">In steps of</legend>
              <label><input type="radio" name="step" value="hour"><span>Hours</span></label>
              <label><input type="radio" name="step" value="day" checked><span>Days</span></label>
            </fieldset>
          </div>
          <div class="chart" id="trend" role="slider" tabindex="0" aria-label="Spend over time; the arrow keys read it" aria-valuemin="0" aria-valuemax="0" aria-valuenow="0" aria-valuetext="loading"></div>
          <ul class="legend" id="legend"></ul>
          <details class="as-table" id="trend-table"><summary>As a table</summary><div class="scroll" tabindex="0" role="region" aria-label="Spend over time as a table"><table id="trend-rows"></table></div></details>
        </section>
        <div class="columns">
          <div>
            <section class="panel" aria-labelledby="runs-title">
              <div class="panel-head">
                <h2 id="runs-title">Live requests</h2>
                <p class="hint" id="runs-hint" role="status">–</p>
              </div>
              <ul class="runs" id="runs"><li class="empty">waiting for the daemon…</li></ul>
            </section>
            <section class="panel small" aria-labelledby="parts-title">
              <div class="panel-head">
                <h2 id="parts-title">Where it went</h2>
                <fieldset class="choices" id="part">
                  <legend class="out">Summed by</legend>
                  <label><input type="radio" name="part" value="model" checked><span>Model</span></label>
                  <label><input type="radio" name="part" value="source"><span>Program</span></label>
                  <label><input type="radio" name="part" value="project"><span>Project</span></label>
                  <label><input type="radio" name="part" value="session"><span>Session</span></label>
                  <label><input type="radio" name="part" value="tool"><span>Tool</span></label>
                </fieldset>
              </div>
              <div class="scroll" tabindex="0" role="region" aria-label="Where it went">
                <table>
                  <thead>
                    <tr>
                      <th scope="col" id="part-name">Model</th>
                      <th scope="col" class="n">Requests</th>
                      <th scope="col" class="n wide">Errors</th>
                      <th scope="col" class="n">Tokens</th>
                      <th scope="col" class="n wide">From cache</th>
                      <th scope="col" class="n">Cost</th>
                    </tr>
                  </thead>
                  <tbody id="parts"><tr><td colspan="6" class="empty">loading…</td></tr></tbody>
                </table>
              </div>
            </section>
            <section class="panel" id="health-panel" aria-labelledby="health-title">
              <div class="panel-head"><h2 id="health-title">Latency and errors</h2><p class="hint" id="errors-hint">–</p></div>
              <div class="chart low" id="errors" role="slider" tabindex="0" aria-label="Requests and errors over time; the arrow keys read it" aria-valuemin="0" aria-valuemax="0" aria-valuenow="0" aria-valuetext="loading"></div>
              <div>
                <table>
                  <thead><tr><th scope="col"><span class="out">What</span></th><th scope="col" class="n">p50</th><th scope="col" class="n">p95</th><th scope="col" class="n">p99</th></tr></thead>
                  <tbody id="latencies"><tr><th scope="row">First token</th><td class="n">–</td><td class="n">–</td><td class="n">–</td></tr></tbody>
                </table>
              </div>
            </section>
          </div>
          <div>
            <section class="panel" id="block-panel" aria-labelledby="block-title" hidden>
              <div class="panel-head"><h2 id="block-title">Five-hour block</h2><p class="hint" id="block-hint"></p></div>
              <div id="block"></div>
            </section>
            <section class="panel" id="budget-panel" aria-labelledby="budget-title" hidden>
              <div class="panel-head"><h2 id="budget-title">Budgets</h2></div>
              <ul class="list" id="budgets"></ul>
            </section>
            <section class="panel" id="cache-panel" aria-labelledby="cache-title">
              <div class="panel-head"><h2 id="cache-title">Prompt cache</h2><p class="hint" id="cache-hint">–</p></div>
              <div id="cache"></div>
            </section>
            <section class="panel" id="recent-panel" aria-labelledby="recent-title" hidden>
              <div class="panel-head"><h2 id="recent-title">Recent sessions</h2><a class="hint" href="#sessions">all of them</a></div>
              <ul class="list" id="recent"></ul>
            </section>
          </div>
        </div>
      </main>
      <main id="sessions" tabindex="-1" hidden>
        <h2 class="out">Sessions</h2>
        <section class="panel browse" aria-label="Sessions">
          <input id="find" class="field" type="search" autocomplete="off" spellcheck="false" maxlength="2000"
            placeholder="Search all messages" aria-label="Search all messages" aria-controls="list">
          <input id="filter" class="field small" type="search" autocomplete="off" spellcheck="false" maxlength="200"
            placeholder="Filter by title, program, model, directory" aria-label="Filter the sessions"
            aria-controls="list">
          <div class="options">
            <label><input id="below" type="checkbox"> sub-agents and forks</label>
            <label><input id="away" type="checkbox"> archived</label>
            <label><input id="grouped" type="checkbox"> one hit a conversation</label>
          </div>
          <p id="found" class="hint" role="status" aria-live="polite">loading…</p>
          <ol id="list"></ol>
          <button id="more" class="quiet" type="button" hidden>More</button>
        </section>
        <div>
          <section class="panel" id="read-empty">
            <p class="empty">Choose a session to read it.</p>
            <p class="keys"><kbd>/</kbd> search · <kbd>↓</kbd> <kbd>↑</kbd> move · <kbd>Enter</kbd> read · <kbd>Esc</kbd> back</p>
          </section>
          <section class="panel" id="read" aria-labelledby="read-title" hidden>
            <div class="read-head">
              <div>
                <a class="back quiet" href="#sessions">‹ Sessions</a>
                <h2 id="read-title" dir="auto"></h2>
                <code id="read-id"></code>
                <p class="facts" id="read-above"></p>
              </div>
              <div class="steps options">
                <label><input id="every" type="checkbox"> compacted and undone, too</label>
                <button id="to-start" class="quiet" type="button">Start</button>
                <button id="to-end" class="quiet" type="button">End</button>
              </div>
            </div>
            <div id="sums"></div>
            <div id="tree" hidden></div>
            <p id="read-problem" class="problem" role="alert" hidden></p>
            <button id="earlier" class="quiet" type="button" hidden>Earlier messages</button>
            <div id="messages"></div>
            <button id="later" class="quiet" type="button" hidden>Later messages</button>
          </section>
        </div>
      </main>
      <main id="workers" tabindex="-1" hidden>
        <section class="panel" aria-labelledby="boxes-title">
          <div class="panel-head">
            <h2 id="boxes-title">Workers and their mailboxes</h2>
            <p class="hint" id="boxes-hint" role="status" aria-live="polite">loading…</p>
          </div>
          <div class="scroll" tabindex="0" role="region" aria-label="Workers and their mailboxes">
            <table>
              <thead>
                <tr>
                  <th scope="col">Mailbox</th>
                  <th scope="col">Worker</th>
                  <th scope="col" class="wide">Heartbeat</th>
                  <th scope="col" class="n">Due</th>
                  <th scope="col" class="n wide">Waiting</th>
                  <th scope="col" class="n">Taken</th>
                  <th scope="col" class="n">To deliver</th>
                  <th scope="col" class="n">Dead letters</th>
                </tr>
              </thead>
              <tbody id="boxes"><tr><td colspan="8" class="empty">loading…</td></tr></tbody>
            </table>
          </div>
        </section>
      </main>
      <main id="catalog" tabindex="-1" hidden>
        <section class="panel" aria-labelledby="providers-title">
          <div class="panel-head">
            <h2 id="providers-title">Providers</h2>
            <p class="hint" id="providers-hint" role="status" aria-live="polite">loading…</p>
            <button id="catalog-refresh" class="quiet" type="button">Ask them now</button>
          </div>
          <div class="scroll" tabindex="0" role="region" aria-label="Providers">
            <table>
              <thead>
                <tr>
                  <th scope="col">Provider</th>
                  <th scope="col" class="wide">Kind</th>
                  <th scope="col">Health</th>
                  <th scope="col" class="n">Models</th>
                  <th scope="col" class="n">Answered</th>
                </tr>
              </thead>
              <tbody id="providers"><tr><td colspan="5" class="empty">loading…</td></tr></tbody>
            </table>
          </div>
        </section>
        <section class="panel" aria-labelledby="catalog-title">
          <div class="panel-head">
            <h2 id="catalog-title">Models</h2>
            <p class="hint" id="catalog-hint" role="status" aria-live="polite">loading…</p>
          </div>
          <input id="catalog-filter" class="field small" type="search" autocomplete="off" spellcheck="false"
            maxlength="200" placeholder="Filter by name" aria-label="Filter the models" aria-controls="catalog-models">
          <div class="scroll" tabindex="0" role="region" aria-label="Models">
            <table>
              <thead>
                <tr>
                  <th scope="col">Model</th>
                  <th scope="col">Provider</th>
                  <th scope="col" class="n">Context</th>
                  <th scope="col" class="n">Input</th>
                  <th scope="col" class="n">Output</th>
                  <th scope="col" class="n wide">Listed</th>
                </tr>
              </thead>
              <tbody id="catalog-models"><tr><td colspan="6" class="empty">loading…</td></tr></tbody>
            </table>
          </div>
        </section>
      </main>
      </div>
      <footer>
        <p>Costs are worked out from rate cards at list prices; for subscriptions they are the API equivalent.</p>
        <p><a href="/api/status">status</a> · <a href="/metrics">metrics</a> · <a href="/api/usage?since=30d">JSON</a></p>
      </footer>
      <noscript>This page needs JavaScript; <code>holdfast usage report</code> prints the same numbers.</noscript>
    </body>
    </html>

    """#

  /// The icon: a limpet's shell, which holds fast.
  static let icon = #"""
    <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
      <path d="M3 25c0-9 5-19 13-19s13 10 13 19z" fill="#0f8f83"/>
      <path d="M16 6 9 25M16 6v19M16 6l7 19" fill="none" stroke="#eafaf7" stroke-width="1.8" stroke-linecap="round"/>
      <path d="M2 26.5h28" stroke="#0b5f58" stroke-width="3" stroke-linecap="round"/>
    </svg>

    """#
}
