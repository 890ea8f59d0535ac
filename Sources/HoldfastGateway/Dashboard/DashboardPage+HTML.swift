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
      <title>Holdfast · spend</title>
      <link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
      <link rel="stylesheet" href="/assets/app.css">
      <link rel="stylesheet" href="/assets/sessions.css">
      <script src="/assets/format.js" defer></script>
      <script src="/assets/app.js" defer></script>
      <script src="/assets/sessions.js" defer></script>
      <script src="/assets/workers.js" defer></script>
      <script src="/assets/models.js" defer></script>
    </head>
    <body>
      <header>
        <h1><img src="/assets/icon.svg" alt="" width="28" height="28"> Holdfast</h1>
        <nav class="views" aria-label="Views">
          <a href="#spend" data-view="spend" aria-current="page">Spend</a>
          <a href="#sessions" data-view="sessions">Sessions</a>
          <a href="#workers" data-view="workers">Workers</a>
          <a href="#catalog" data-view="catalog">Models</a>
        </nav>
        <p id="live" class="live" role="status" aria-live="polite">connecting…</p>
      </header>
      <main id="spend">
        <section class="cards" aria-label="Spend">
          <article class="card"><h2>Today</h2><p class="money" id="today-cost">–</p><p class="sub" id="today-sub">&nbsp;</p></article>
          <article class="card"><h2>7 days</h2><p class="money" id="week-cost">–</p><p class="sub" id="week-sub">&nbsp;</p></article>
          <article class="card"><h2>30 days</h2><p class="money" id="month-cost">–</p><p class="sub" id="month-sub">&nbsp;</p></article>
        </section>
        <p class="notice" id="notice" hidden></p>
        <section class="panel" aria-labelledby="days-title">
          <div class="panel-head">
            <h2 id="days-title">Spend by day</h2>
            <p class="hint" id="day-hint">30 days, UTC</p>
          </div>
          <svg id="chart" role="img" aria-labelledby="days-title" preserveAspectRatio="none" viewBox="0 0 900 220"></svg>
          <div class="axis" id="axis" aria-hidden="true"></div>
        </section>
        <section class="panel" aria-labelledby="models-title">
          <div class="panel-head">
            <h2 id="models-title">Models</h2>
            <div class="tabs" role="group" aria-label="Period">
              <button type="button" data-range="today">Today</button>
              <button type="button" data-range="week">7 days</button>
              <button type="button" data-range="month" aria-pressed="true">30 days</button>
            </div>
          </div>
          <div class="scroll">
            <table>
              <thead>
                <tr>
                  <th scope="col">Model</th>
                  <th scope="col" class="n">Requests</th>
                  <th scope="col" class="n">Input</th>
                  <th scope="col" class="n wide">Cache read</th>
                  <th scope="col" class="n wide">Cache write</th>
                  <th scope="col" class="n">Output</th>
                  <th scope="col" class="n">Cost</th>
                </tr>
              </thead>
              <tbody id="models"><tr><td colspan="7" class="empty">loading…</td></tr></tbody>
            </table>
          </div>
        </section>
      </main>
      <main id="sessions" hidden>
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
      <main id="workers" hidden>
        <section class="panel" aria-labelledby="boxes-title">
          <div class="panel-head">
            <h2 id="boxes-title">Workers and their mailboxes</h2>
            <p class="hint" id="boxes-hint" role="status" aria-live="polite">loading…</p>
          </div>
          <div class="scroll">
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
      <main id="catalog" hidden>
        <section class="panel" aria-labelledby="providers-title">
          <div class="panel-head">
            <h2 id="providers-title">Providers</h2>
            <p class="hint" id="providers-hint" role="status" aria-live="polite">loading…</p>
            <button id="catalog-refresh" class="quiet" type="button">Ask them now</button>
          </div>
          <div class="scroll">
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
          <div class="scroll">
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
