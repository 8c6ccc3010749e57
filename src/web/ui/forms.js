// What people may say: about the car, an override, the mode, an external limit.

import { html, useState, useRef, useEffect } from '/vendor/htm-preact.js';
import { keepToken, say } from '/api.js';
import { next } from '/format.js';
import { title } from '/words.js';

/** Posts and shows the answer in place. */
function useSay(t) {
  const [answer, setAnswer] = useState(null);
  const tell = async (path, body) => {
    setAnswer({ ok: true, text: '…' });
    const got = await say(path, body, document.documentElement.lang);
    setAnswer({ ok: got.ok, text: got.text });
  };
  return [tell, html`<output class=${answer && !answer.ok ? 'wrong' : 'right'}>${answer ? answer.text : ''}</output>`];
}

export function EvForm({ c, site, now, t, f, token }) {
  const [tell, answer] = useSay(t);
  const s = c.session;
  const [departure, setDeparture] = useState(f.clock(Date.parse(s.departure)));
  const [energy, setEnergy] = useState(String(Math.round(s.energy_kwh * 10) / 10));
  const [mode, setMode] = useState(s.mode);
  const send = (e) => {
    e.preventDefault();
    const leaves = next(site.time_zone, Date.parse(now.at), departure);
    tell('ev', { component: c.id, departure: new Date(leaves).toISOString(), energy_kwh: Number(energy), mode });
  };
  return html`<form onSubmit=${send}><h3>${t('car')}</h3>
    <p class="soft">${t('delivered', f.n1(s.delivered_kwh), f.n1(s.energy_kwh))}</p>
    <fieldset disabled=${!token}>
      <label>${t('departure')}<input type="time" required value=${departure} onInput=${(e) => setDeparture(e.target.value)} /></label>
      <label>${t('energy')}<span class="unit"><input type="number" required min="0.5" max="300" step="0.5" value=${energy} onInput=${(e) => setEnergy(e.target.value)} />kWh</span></label>
      <label class="wide">${t('mode')}<select value=${mode} onChange=${(e) => setMode(e.target.value)}>
        ${['cheapest', 'fast', 'surplus'].map((m) => html`<option key=${m} value=${m}>${t(m)}</option>`)}</select></label>
      <div class="send"><button class="primary">${t('save')}</button>${answer}</div>
    </fieldset></form>`;
}

/** How an override is said, by kind: choices of a verb, and the unit of its number. */
const SAID = {
  battery: [['charge', 'kW', (v) => `${v} kW`], ['discharge', 'kW', (v) => `-${v} kW`], ['off', null, () => '0 kW'], ['release', null, () => 'release']],
  charge_point: [['charge', 'A', (v) => `${v} A`], ['off', null, () => 'off'], ['release', null, () => 'release']],
  pv: [['limit', 'kW', (v) => `${v} kW`], ['release', null, () => 'release']],
  heat_pump: [['using', 'kW', (v) => `${v} kW`], ['off', null, () => 'off'], ['release', null, () => 'release']],
  generator: [['producing', 'kW', (v) => `-${v} kW`], ['off', null, () => 'off'], ['release', null, () => 'release']],
  shiftable_load: [['on', null, () => 'on'], ['off', null, () => 'off'], ['release', null, () => 'release']],
  sheddable_load: [['on', null, () => 'on'], ['off', null, () => 'off'], ['release', null, () => 'release']],
};

export function OverrideForm({ c, rating, t, f, token }) {
  const [tell, answer] = useSay(t);
  const choices = SAID[c.kind];
  const [chosen, setChosen] = useState(0);
  const [amount, setAmount] = useState('');
  const [minutes, setMinutes] = useState(60);
  if (!choices || rating.grid_forming) return null;
  const [, unit, value] = choices[chosen];
  const most = { battery: chosen === 1 ? rating.discharge_max_kw : rating.charge_max_kw, charge_point: rating.current_max_a }[c.kind] || rating.power_max_kw;
  const send = (e) => {
    e.preventDefault();
    tell('override', { component: c.id, value: value(amount), for_minutes: Number(minutes) });
  };
  return html`<form onSubmit=${send}><h3>${t('override')}</h3>
    <p class="soft">${t('overrideHint')}</p>
    ${c.override && html`<div class="send"><span class="badge calm">${t('until', f.clock(Date.parse(c.override.until)))}${c.override.in_force ? '' : ` · ${t('notInForce')}`}</span>
      <button type="button" disabled=${!token} onClick=${() => tell('end-override', { component: c.id })}>${t('end')}</button></div>`}
    <fieldset disabled=${!token}>
      <label>${t('target')}<select value=${chosen} onChange=${(e) => setChosen(Number(e.target.value))}>
        ${choices.map(([word], i) => html`<option key=${word} value=${i}>${t(word)}</option>`)}</select></label>
      <label>${t('value')}<span class="unit"><input type="number" required=${!!unit} disabled=${!unit} min="0" max=${most} step="0.1" value=${amount} onInput=${(e) => setAmount(e.target.value)} />${unit || ''}</span></label>
      <label>${t('lasting')}<select value=${minutes} onChange=${(e) => setMinutes(e.target.value)}>
        ${[15, 30, 60, 120, 240, 720].map((m) => html`<option key=${m} value=${m}>${m < 60 ? t('minutes', m) : t('hours', m / 60)}</option>`)}</select></label>
      <div class="send"><button class="primary">${t('begin')}</button>${answer}</div>
    </fieldset></form>`;
}

/** Asks before it acts. */
function Confirm({ text, t, yes, no }) {
  const ref = useRef(null);
  useEffect(() => { ref.current.showModal(); }, []);
  return html`<dialog class="ask" ref=${ref} onClose=${no}><div class="sheet"><p>${text}</p>
    <div class="send"><button class="primary" onClick=${() => { yes(); ref.current.close(); }}>${t('yes')}</button>
    <button onClick=${() => ref.current.close()}>${t('no')}</button></div></div></dialog>`;
}

export function Control({ now, site, t, f, language, token }) {
  const [tell, answer] = useSay(t);
  const [asked, setAsked] = useState(null);
  const controls = now.mode === 'control';
  const overridden = now.components.filter((c) => c.override);
  return html`<section class="card control">
    <header><h2>${t('control')}</h2>${answer}</header>
    <div class="switch" role="radiogroup" aria-label=${t('control')}>
      <button role="radio" aria-checked=${!controls} disabled=${!token} onClick=${() => controls && tell('mode', { mode: 'observe' })}>${t('observeMode')}</button>
      <button role="radio" aria-checked=${controls} disabled=${!token} onClick=${() => !controls && setAsked('control')}>${t('controlMode')}</button>
    </div>
    <p class="soft">${t(controls ? 'controlHelp' : 'observeHelp')}</p>
    ${(now.writes || now.holds) && html`<button class="wide" disabled=${!token} onClick=${() => setAsked('release')}>${t('handBack')}</button>`}
    ${overridden.map((c) => html`<div key=${c.id} class="send"><span class="badge calm">${title(language, c)} · ${t('override')} ${t('until', f.clock(Date.parse(c.override.until)))}${c.override.in_force ? '' : ` · ${t('notInForce')}`}</span>
      <button disabled=${!token} onClick=${() => tell('end-override', { component: c.id })}>${t('end')}</button></div>`)}
    <${AwayForm} now=${now} t=${t} f=${f} token=${token} />
    ${site.connection && html`<${LimitForm} now=${now} site=${site} t=${t} f=${f} token=${token} />`}
    ${!token && html`<${Unlock} t=${t} />`}
    ${asked && html`<${Confirm} t=${t} text=${t(asked === 'release' ? 'handBackAsk' : 'takeAsk')} no=${() => setAsked(null)}
      yes=${() => (asked === 'release' ? tell('release', {}) : tell('mode', { mode: 'control' }))} />`}
  </section>`;
}

/** Takes the token of `api.json`, for this window only. */
function Unlock({ t }) {
  const [typed, setTyped] = useState('');
  const send = (e) => {
    e.preventDefault();
    keepToken(typed.trim());
    location.reload();
  };
  return html`<form onSubmit=${send}><h3>${t('readOnly')}</h3><p class="soft">${t('readOnlyHelp')}</p>
    <fieldset class="brief"><label>${t('token')}<input type="password" required autocomplete="off" value=${typed} onInput=${(e) => setTyped(e.target.value)} /></label>
      <div class="send"><button class="primary">${t('unlock')}</button></div></fieldset></form>`;
}

/** An absence, or its end while it lasts. */
function AwayForm({ now, t, f, token }) {
  const [tell, answer] = useSay(t);
  const [days, setDays] = useState(7);
  const send = (e) => {
    e.preventDefault();
    tell('away', { for_minutes: Number(days) * 1440 });
  };
  return html`<form onSubmit=${send}><h3>${t('away')}</h3><p class="soft">${t('awayHint')}</p>
    ${now.away && html`<div class="send"><span class="badge calm">${t('away')} ${t('until', `${f.day(Date.parse(now.away.until))} ${f.clock(Date.parse(now.away.until))}`)}</span>
      <button type="button" disabled=${!token} onClick=${() => tell('end-away', {})}>${t('end')}</button></div>`}
    <fieldset class="brief" disabled=${!token}>
      <label>${t('lasting')}<select value=${days} onChange=${(e) => setDays(e.target.value)}>
        ${[1, 2, 3, 5, 7, 10, 14, 21, 28].map((d) => html`<option key=${d} value=${d}>${t('days', d)}</option>`)}</select></label>
      <div class="send"><button class="primary">${t('begin')}</button></div>
    </fieldset>${answer}</form>`;
}

function LimitForm({ now, site, t, f, token }) {
  const [tell, answer] = useSay(t);
  const [direction, setDirection] = useState('import');
  const [power, setPower] = useState('');
  const [minutes, setMinutes] = useState(60);
  const send = (e) => {
    e.preventDefault();
    tell('limit', { direction, power_kw: Number(power), for_minutes: Number(minutes) });
  };
  return html`<form onSubmit=${send}><h3>${t('external')}</h3><p class="soft">${t('externalHint')}</p>
    <ul class="limits">${now.limits.map((l) => html`<li key=${`${l.direction}${l.source}${l.power_kw}`}>
      <span class=${l.binding ? 'badge calm' : 'soft'}>${t(l.direction)} ${t('atMost', f.kw(l.power_kw))} ${l.until ? t('until', f.clock(Date.parse(l.until))) : ''}</span>
      <span class="soft">${l.source === 'site' ? t('siteOwn') : l.source}${l.binding ? ` · ${t('holds')}` : ''}</span>
      ${l.until && html`<button type="button" disabled=${!token} onClick=${() => tell('end-limit', { direction: l.direction, source: l.source })}>${t('end')}</button>`}</li>`)}</ul>
    <fieldset class="brief" disabled=${!token}>
      <label>${t('direction')}<select value=${direction} onChange=${(e) => setDirection(e.target.value)}>
        ${['import', 'export'].map((d) => html`<option key=${d} value=${d}>${t(d)}</option>`)}</select></label>
      <label>${t('value')}<span class="unit"><input type="number" required min="0" max=${direction === 'import' ? site.connection.import_max_kw : site.connection.export_max_kw} step="0.1" value=${power} onInput=${(e) => setPower(e.target.value)} />kW</span></label>
      <label>${t('lasting')}<select value=${minutes} onChange=${(e) => setMinutes(e.target.value)}>
        ${[15, 60, 120, 240, 720].map((m) => html`<option key=${m} value=${m}>${m < 60 ? t('minutes', m) : t('hours', m / 60)}</option>`)}</select></label>
      <div class="send"><button class="primary">${t('set')}</button></div>
    </fieldset>${answer}</form>`;
}
