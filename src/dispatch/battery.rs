//! Batteries: the plan's value of a stored kWh decides the mode, the measured net load the watts.
//!
//! Cover the load where a stored kWh is worth less than what the meter would charge; take surplus where it is worth more
//! than what export pays; charge from the grid and sell only where the plan does. Inside every mode the limits rule.

use super::envelope::{Envelope, Held};
use super::order::Order;
use super::view::{Lead, View};
use crate::model::{Reason, ReasonCode, Target};
use crate::site::{Battery, Id};
use crate::units::{Power, hours};

/// Money differences below this share of the price are ties, kW below [`SMALL`] are nothing.
const TIE: f64 = 0.004;
const SMALL: f64 = 0.05;

/// What the battery would do if nothing limited it.
struct Wish {
    kw: f64,
    reason: Reason,
    /// May draw from and give to the grid for its own sake.
    grid_charge: bool,
    sell: bool,
}

impl Wish {
    fn new(kw: f64, reason: Reason) -> Self {
        Self {
            kw,
            reason,
            grid_charge: false,
            sell: false,
        }
    }
}

/// `net`: what the meter would show if the battery did nothing, kW, import positive; `promised`: discharge that others count
/// on, kW.
pub fn order(
    view: &View<'_>,
    envelope: &mut Envelope,
    (id, b): (&Id, &Battery),
    net: f64,
    told: Option<f64>,
    promised: f64,
) -> Order {
    let wish = match (told, view.lead()) {
        (Some(kw), _) => Wish {
            grid_charge: true,
            sell: true,
            ..Wish::new(kw, Reason::new(ReasonCode::Override))
        },
        (None, Lead::Idle) => Wish::new(0.0, Reason::new(ReasonCode::PolicyIdle)),
        (None, Lead::Rule) => by_rule(view, net),
        (None, Lead::Plan) => by_value(view, id, b, net),
    };
    let (kw, reason) = limited(view, envelope, (id, b), &wish, net, promised);
    let kw = steady(view, id, kw);
    envelope.take(id, kw, kw, kw);
    Order::new(id, Target::Power(Power::kw(kw)), reason)
}

fn by_rule(view: &View<'_>, net: f64) -> Wish {
    let code = match view.policy {
        crate::model::Policy::Rule => ReasonCode::RuleSelfConsumption,
        _ => ReasonCode::FallbackNoPlan,
    };
    Wish::new(-net, Reason::new(code))
}

/// Execution by value.
fn by_value(view: &View<'_>, id: &Id, b: &Battery, net: f64) -> Wish {
    let planned = view.planned_kw(id).unwrap_or(0.0);
    let grid = view.planned_grid().unwrap_or(0.0);
    let (Some(worth), Some(buy), Some(sell)) = (view.worth(id), view.buy(), view.sell()) else {
        return guarded(planned, grid, net);
    };
    let Modes { cover, store, give } = modes(b, worth, buy, sell);
    let why = |code| Reason::new(code).worth(Some(worth), Some(buy));
    if planned > SMALL && grid > SMALL && b.grid_charge && view.price_known() {
        let surplus = if store { -net } else { f64::NEG_INFINITY };
        return Wish {
            grid_charge: true,
            ..Wish::new(planned.max(surplus), why(ReasonCode::GridCharge))
        };
    }
    if planned < -SMALL && grid < -SMALL && b.grid_discharge && give {
        let kw = if cover { planned.min(-net) } else { planned };
        return Wish {
            sell: true,
            ..Wish::new(kw, Reason::new(ReasonCode::SellStored).worth(Some(worth), Some(sell)))
        };
    }
    match net > 0.0 {
        true if cover => Wish::new(-net, why(ReasonCode::CoverLoad)),
        false if store => Wish::new(
            -net,
            Reason::new(ReasonCode::StoreSurplus).worth(Some(worth), Some(sell)),
        ),
        _ => Wish::new(0.0, why(ReasonCode::HoldForLater)),
    }
}

/// A plan without duals: follow the net load where the plan shows no exchange, else the plan capped by what there is.
fn guarded(planned: f64, grid: f64, net: f64) -> Wish {
    let reason = Reason::new(ReasonCode::FollowPlan);
    if grid.abs() < SMALL {
        return Wish::new(-net, reason);
    }
    if planned > SMALL && grid > SMALL {
        return Wish {
            grid_charge: true,
            ..Wish::new(planned.max(-net), reason)
        };
    }
    if planned > 0.0 {
        return Wish::new(planned.min((-net).max(0.0)), reason);
    }
    Wish::new(planned.max(-net.max(0.0)), reason)
}

/// Limits on top of a wish: other people's fuses first, then rating and state of charge.
fn limited(
    view: &View<'_>,
    envelope: &Envelope,
    (id, b): (&Id, &Battery),
    wish: &Wish,
    net: f64,
    promised: f64,
) -> (f64, Reason) {
    let (lowest, highest) = reach(view, id, b);
    let mut kw = wish.kw;
    let mut reason = wish.reason.clone();
    // nobody asked for an exchange with the grid: none beyond what the others cause
    if view.plant.connection.is_some() && !wish.grid_charge && kw > 0.0 {
        kw = kw.min((-net).max(0.0));
    }
    if view.plant.connection.is_some() && !wish.sell && kw < 0.0 {
        kw = kw.max(-net.max(0.0));
    }
    let mut bind = |kw: &mut f64, to: f64, held: Option<Held>| {
        *kw = to;
        if let Some(h) = held {
            reason = Reason::new(h.code).limited(h.limit);
        }
    };
    let (room, held) = envelope.room_up(id);
    if kw > 0.0 && kw > room {
        bind(&mut kw, room.max(0.0), held);
    }
    let (room, held) = envelope.room_down(id);
    if kw < 0.0 && kw < room {
        bind(&mut kw, room.min(0.0), held);
    }
    // a limit that is exceeded without us: help, whatever a stored kWh is worth
    let (below, held) = envelope.must_stay_below(id);
    let below = if promised > 0.0 { below.min(-promised) } else { below };
    if kw > below {
        bind(&mut kw, below, held);
    }
    if kw > highest || kw < lowest {
        let rating = if kw > highest { b.charge_max } else { -b.discharge_max };
        let end = if kw > highest { highest } else { lowest };
        let code = if (end - rating.as_kw()).abs() > SMALL {
            ReasonCode::LimitSoc
        } else {
            ReasonCode::LimitRating
        };
        if kw.abs() > SMALL && wish.kw.abs() > SMALL {
            reason = Reason { code, ..reason };
        }
        kw = kw.clamp(lowest, highest.max(lowest));
    }
    (kw, reason)
}

/// Power range `(discharge ≤ 0, charge ≥ 0)` by rating and state of charge: tapers off so that a limit of charge is not
/// run over within the next cycles. Without a state of charge nothing is moved.
pub fn reach(view: &View<'_>, id: &Id, b: &Battery) -> (f64, f64) {
    let Some(soc) = view.snapshot.soc(id).map(|s| s.as_ratio()) else {
        return (0.0, 0.0);
    };
    let capacity = b.capacity.as_kwh();
    let soon = hours(view.cycle() * 2).max(1.0 / 60.0);
    let above = (soc - floor(view, id, b)).max(0.0) * capacity * b.discharge_efficiency / soon;
    let below = (b.soc_max.as_ratio() - soc).max(0.0) * capacity / b.charge_efficiency / soon;
    (-b.discharge_max.as_kw().min(above), b.charge_max.as_kw().min(below))
}

/// State of charge that is kept: the reserve, unless the plan pays for going below it.
fn floor(view: &View<'_>, id: &Id, b: &Battery) -> f64 {
    let (least, reserve) = (b.soc_min.as_ratio(), b.reserve.as_ratio());
    let planned = view.plan.and_then(|(s, t)| {
        let energy = &s.solution.plan.batteries.get(id.as_str())?.energy_kwh;
        energy.get(t).map(|kwh| kwh / b.capacity.as_kwh())
    });
    planned.map_or(least.max(reserve), |p| least.max(reserve.min(p)))
}

/// It will cover the load in this cycle.
fn covers(view: &View<'_>, id: &Id, b: &Battery) -> bool {
    match view.lead() {
        Lead::Idle => false,
        Lead::Rule => true,
        Lead::Plan => match (view.worth(id), view.buy()) {
            (Some(worth), Some(buy)) => modes(b, worth, buy, buy).cover,
            _ => view.planned_kw(id).is_some_and(|kw| kw < -SMALL),
        },
    }
}

/// What a stored kWh is good for at these prices.
struct Modes {
    cover: bool,
    store: bool,
    give: bool,
}

fn modes(b: &Battery, worth: f64, buy: f64, sell: f64) -> Modes {
    let wear = b.wear.as_per_kwh();
    let tie = TIE * buy.abs().max(worth.abs());
    Modes {
        cover: buy + tie >= worth / b.discharge_efficiency + wear,
        store: sell - tie <= worth * b.charge_efficiency - wear,
        give: sell + tie >= worth / b.discharge_efficiency + wear,
    }
}

/// Discharge that others may count on for the next minutes, kW: what the battery gives now, as far as our command holds it
/// there and its charge lasts. What it gives under its own control ends when the first command reaches it.
pub fn support(view: &View<'_>, id: &Id, b: &Battery) -> f64 {
    if !covers(view, id, b) {
        return 0.0;
    }
    let Some(soc) = view.snapshot.soc(id).map(|s| s.as_ratio()) else {
        return 0.0;
    };
    let left = (soc - floor(view, id, b)).max(0.0) * b.capacity.as_kwh() * b.discharge_efficiency;
    let lasting = left / (3.0 / 60.0);
    let given = view.power(id).map_or(0.0, |kw| (-kw).max(0.0));
    given.min(lasting).min(told_to_give(view, id))
}

/// Discharge that our command in the device allows, kW; without bound where no device reports commands.
fn told_to_give(view: &View<'_>, id: &Id) -> f64 {
    if view.device(id).is_none() {
        return f64::INFINITY;
    }
    let told = view.command(id).and_then(|c| c.value);
    told.map_or(0.0, |kw| (-kw).max(0.0))
}

/// Keeps the last setpoint while the new one is nearly the same, so that noise is not written.
fn steady(view: &View<'_>, id: &Id, kw: f64) -> f64 {
    let rounded = (kw * 100.0).round() / 100.0;
    match view.last(id).map(|l| l.target) {
        Some(Target::Power(p)) if (p.as_kw() - rounded).abs() < 0.03 && rounded != 0.0 => p.as_kw(),
        _ => rounded,
    }
}
