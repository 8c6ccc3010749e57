// The money of the day: one total, what it is made of, and what it would have been with the batteries at rest.

import { html } from '/vendor/htm-preact.js';
import { STEP } from '/rows.js';

/** Parts of a cost, in the order of a bill; stored energy is subtracted. */
const PARTS = ['energy', 'demand', 'fuel', 'wear', 'carbon', 'stored'];

/** Less than this is no money in any currency that is shown. */
const NOTHING = 0.005;

function Parts({ today, t, f }) {
  const shown = PARTS.filter((part) => Math.abs(today.cost_parts[part]) >= NOTHING);
  if (shown.length < 2) return null;
  const amount = (part) => (part === 'stored' ? -1 : 1) * today.cost_parts[part];
  return html`<dl class="parts">${shown.map((part) => html`<div key=${part}><dt>${t(`part-${part}`)}</dt><dd>${f.money(amount(part))}</dd></div>`)}</dl>`;
}

/** From when money is counted, and what is missing; nothing where the whole day is in the books. */
function Counted({ today, t, f }) {
  const clock = (time) => f.clock(Date.parse(time));
  if (today.uncounted_since) {
    return html`<p class="gap">${t('notCounted', clock(today.uncounted_since))} <span class="soft">${t(`unknown-${today.uncounted_why}`)}</span></p>`;
  }
  const minutes = Math.round(today.uncounted_s / 60);
  const late = Date.parse(today.counted_from) - Date.parse(today.start) > 60000;
  return html`<p class="soft">${late ? `${t('countedFrom', clock(today.counted_from))} ` : ''}${minutes > 0 ? t('uncounted', minutes) : ''}</p>`;
}

function Saved({ today, t, f }) {
  const more = today.saved < 0;
  return html`<p class=${`saved ${more ? 'over' : ''}`}><b>${f.money(Math.abs(today.saved))}</b> ${t(more ? 'moreSoFar' : 'saved')} <span class="soft">${t('savedHelp')}</span></p>`;
}

function Total({ today, t, f }) {
  return html`<h2>${t('todayCost')}</h2>
    <p class="big">${f.money(today.cost)}</p>
    <${Saved} today=${today} t=${t} f=${f} />
    <${Counted} today=${today} t=${t} f=${f} />`;
}

export function Money({ now, t, f }) {
  const { today, month, price } = now;
  const contract = month.contract_kw;
  return html`<section class="card money">
    <${Total} today=${today} t=${t} f=${f} />
    <${Parts} today=${today} t=${t} f=${f} />
    <dl>
      <div><dt>${t('price')}${price.period ? html` <span class="soft">${period(t, price.period)}</span>` : ''}</dt><dd>${price.import_per_kwh === null ? t('unknown') : f.perKwh(price.import_per_kwh)}</dd></div>
      <div><dt>${t('bought')}</dt><dd>${f.kwh(today.imported_kwh)}</dd></div>
      <div><dt>${t('sold')}</dt><dd>${f.kwh(today.exported_kwh)}</dd></div>
      <div><dt>${t('carbon')}</dt><dd>${f.n1(today.co2_kg)} kg</dd></div>
      ${month.demand_charge && html`<div><dt>${t('peak')}</dt><dd>${f.kw(month.peak_kw)}${contract ? html` <span class="soft">${t('ofContract', f.kw(contract))}</span>` : ''}</dd></div>`}
    </dl>
    ${month.demand_charge && contract && html`<div class=${`bar ${month.peak_kw > contract ? 'over' : ''}`}><span style=${{ width: `${Math.min(100, (month.peak_kw / contract) * 100)}%` }} /></div>`}
  </section>`;
}

/** Periods have the names of the tariff; the usual three are known in both languages. */
function period(t, name) {
  const known = t(`${name}-period`);
  return known === `${name}-period` ? name : known;
}

/** On an island fuel takes the place of the bill. */
export function Island({ now, past, t, f }) {
  const { today } = now;
  const made = (kind) => now.components.filter((c) => c.kind === kind)
    .flatMap((c) => past[`${kind}.active_power_watts.${c.id}`] || []).reduce((sum, [, watts]) => sum + Math.abs(watts) * STEP, 0) / 3.6e6;
  const sun = made('pv');
  const engine = today.generators.reduce((sum, g) => sum + g.energy_kwh, 0);
  const share = sun + engine > 0.05 ? sun / (sun + engine) : null;
  return html`<section class="card money">
    <${Total} today=${today} t=${t} f=${f} />
    <${Parts} today=${today} t=${t} f=${f} />
    <dl>
      <div><dt>${t('pv')}</dt><dd>${f.kwh(sun)}</dd></div>
      <div><dt>${t('sunShare')}</dt><dd>${share === null ? t('unknown') : f.percent(share)}</dd></div>
      ${today.generators.map((g) => html`<div key=${g.id}><dt>${t('generator')}</dt><dd>${f.kwh(g.energy_kwh)} <span class="soft">${t(g.starts === 1 ? 'runsOnce' : 'runs', f.n1(g.run_h), g.starts)}</span></dd></div>`)}
      ${today.generators.filter((g) => g.fuel_litres !== null).map((g) => html`<div key=${`fuel ${g.id}`}><dt>${t('burnt')}</dt><dd>${f.n1(g.fuel_litres)} L</dd></div>`)}
      <div><dt>${t('carbon')}</dt><dd>${f.n1(today.co2_kg)} kg</dd></div>
    </dl>
  </section>`;
}
