//! What a person is told after an input: what is in force now, what of the asked was cut by what, and what has no effect.

use super::people::{LONGEST, LONGEST_AWAY, carried};
use crate::model::words::{energy, moment, power};
use crate::model::{ControllerState, Direction, Language, PeopleInput, Rung, Session, Source, Target, own_limit};
use crate::site::{Component, EvMode, Id, Kind, Mode, Plant};
use crate::time::Timestamp;
use crate::units::hours;
use serde::Serialize;

/// The answer to one input, as the API gives it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reply {
    /// Sentences in English.
    pub done: String,
    /// The same in Korean.
    pub done_ko: String,
    pub effect: Effect,
    pub in_force: InForce,
    /// What is not as it was asked.
    pub notes: Vec<Note>,
}

/// How much of what was asked is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    Full,
    /// Less, for less long, or perhaps not all of it.
    Part,
    /// Nothing changes now.
    None,
}

/// Why something is not as it was asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Note {
    /// Stable: `rating`, `week`, `observe`, `safe`, `no_car`, `takes_no_order`, `site`, `tighter`, `limit`, `too_little_time`,
    /// `eight_weeks`.
    pub code: &'static str,
    pub effect: Effect,
    pub en: String,
    pub ko: String,
}

/// What holds after the input.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum InForce {
    Ev {
        component: Id,
        departure: Timestamp,
        energy_kwh: f64,
        delivered_kwh: f64,
        mode: EvMode,
    },
    Override {
        component: Id,
        target: Target,
        until: Timestamp,
    },
    NoOverride {
        component: Id,
    },
    /// `source` is `site` and `until` absent where the site's own limit is the tightest.
    Limit {
        direction: Direction,
        power_kw: f64,
        source: String,
        until: Option<Timestamp>,
    },
    Away {
        since: Timestamp,
        until: Timestamp,
    },
    NotAway,
    Mode {
        mode: Mode,
    },
    Released,
    /// The thing the input was about is gone again.
    Nothing,
}

/// What is told of `input`, as it was asked, once it is in `state`.
pub fn reply(plant: &Plant, state: &ControllerState, input: &PeopleInput, now: Timestamp) -> Reply {
    let about = About { plant, state, now };
    let in_force = about.in_force(input);
    let notes = about.notes(input);
    let mut told = Language::ALL.map(|language| {
        let mut text = about.sentence(&in_force, language);
        for n in &notes {
            text += &match language {
                Language::En => format!(" {}", n.en),
                Language::Ko => format!(" {}", n.ko),
            };
        }
        text
    });
    Reply {
        done: std::mem::take(&mut told[0]),
        done_ko: std::mem::take(&mut told[1]),
        effect: notes.iter().map(|n| n.effect).max().unwrap_or(Effect::Full),
        in_force,
        notes,
    }
}

struct About<'a> {
    plant: &'a Plant,
    state: &'a ControllerState,
    now: Timestamp,
}

impl About<'_> {
    fn in_force(&self, input: &PeopleInput) -> InForce {
        match input {
            PeopleInput::Ev { component, .. } => match self.state.sessions.get(component) {
                Some(s) => InForce::Ev {
                    component: component.clone(),
                    departure: s.departure,
                    energy_kwh: s.energy.as_kwh(),
                    delivered_kwh: s.delivered.as_kwh(),
                    mode: s.mode,
                },
                None => InForce::Nothing,
            },
            PeopleInput::Override { component, .. } | PeopleInput::EndOverride { component } => {
                match self.state.overrides.get(component) {
                    Some(o) => InForce::Override {
                        component: component.clone(),
                        target: o.target,
                        until: o.until,
                    },
                    None => InForce::NoOverride {
                        component: component.clone(),
                    },
                }
            }
            PeopleInput::Limit { direction, .. } | PeopleInput::EndLimit { direction, .. } => self.limit(*direction),
            PeopleInput::Away { .. } | PeopleInput::EndAway { .. } => match self.state.away {
                Some(a) => InForce::Away {
                    since: a.from,
                    until: a.until,
                },
                None => InForce::NotAway,
            },
            PeopleInput::Mode { mode } => InForce::Mode { mode: *mode },
            PeopleInput::Release => InForce::Released,
        }
    }

    fn limit(&self, direction: Direction) -> InForce {
        let own = own_limit(self.plant, direction).unwrap_or(f64::INFINITY);
        let told = self.state.limits.tightest(direction, self.now);
        let tighter = told.filter(|l| l.power.as_kw() < own);
        InForce::Limit {
            direction,
            power_kw: tighter.map_or(own, |l| l.power.as_kw()),
            source: tighter.map_or("site", |l| l.source.as_str()).to_owned(),
            until: tighter.map(|l| l.until),
        }
    }

    fn notes(&self, input: &PeopleInput) -> Vec<Note> {
        let mut notes = Vec::new();
        match input {
            PeopleInput::Ev { component, .. } => {
                let session = self.state.sessions.get(component);
                notes.extend(session.and_then(|s| self.too_little_time(component, s)));
            }
            PeopleInput::Override {
                component,
                target,
                until,
            } => {
                notes.extend(self.plant.components.get(component).and_then(|c| cut(c, *target)));
                notes.extend(self.no_taker(component));
                notes.extend(self.site_limit(component));
                notes.extend(self.a_week(*until));
                notes.extend(self.not_written());
            }
            PeopleInput::Limit {
                source,
                direction,
                power,
                until,
                ..
            } => {
                notes.extend(self.tighter(source, *direction, power.as_kw()));
                notes.extend(self.a_week(*until));
                notes.extend(self.not_written());
            }
            PeopleInput::Away { until, .. } => notes.extend(self.eight_weeks(*until)),
            PeopleInput::EndOverride { .. }
            | PeopleInput::EndLimit { .. }
            | PeopleInput::EndAway { .. }
            | PeopleInput::Mode { .. }
            | PeopleInput::Release => {}
        }
        notes
    }

    /// Nothing is written now, whatever was told.
    fn not_written(&self) -> Option<Note> {
        if self.state.mode == Mode::Observe || self.state.rung == Rung::Released {
            return Some(Note {
                code: "observe",
                effect: Effect::None,
                en: "It has no effect now: Madang only observes and writes nothing.".into(),
                ko: "지금은 관찰 모드여서 장치에 적용되지 않습니다.".into(),
            });
        }
        (self.state.rung == Rung::Safe).then(|| Note {
            code: "safe",
            effect: Effect::Part,
            en: "Safe setpoints are in force now; it counts as soon as they end.".into(),
            ko: "지금은 안전 설정값이 적용되고 있으며, 그것이 끝나면 적용됩니다.".into(),
        })
    }

    fn a_week(&self, until: Timestamp) -> Option<Note> {
        let end = self.now + LONGEST;
        (until > end).then(|| Note {
            code: "week",
            effect: Effect::Part,
            en: format!(
                "It ends on {}: nothing told by a person lasts longer than a week.",
                self.time(end, Language::En)
            ),
            ko: format!("최대 기간은 일주일이므로 {}에 끝납니다.", self.time(end, Language::Ko)),
        })
    }

    fn eight_weeks(&self, until: Timestamp) -> Option<Note> {
        let end = self.now + LONGEST_AWAY;
        (until > end).then(|| Note {
            code: "eight_weeks",
            effect: Effect::Part,
            en: format!(
                "It ends on {}: an absence lasts no longer than eight weeks.",
                self.time(end, Language::En)
            ),
            ko: format!("최대 기간은 8주이므로 {}에 끝납니다.", self.time(end, Language::Ko)),
        })
    }

    /// A limit that changes nothing, and which one is tighter.
    fn tighter(&self, source: &Source, direction: Direction, asked: f64) -> Option<Note> {
        let InForce::Limit {
            power_kw,
            source: holds,
            until,
            ..
        } = self.limit(direction)
        else {
            return None;
        };
        if holds == source.as_str() && power_kw >= asked {
            return None;
        }
        let (kw, asked) = (power(power_kw), power(asked));
        let told = until.map(|t| (self.time(t, Language::En), self.time(t, Language::Ko)));
        let (code, en, ko) = match &told {
            None => (
                "site",
                format!("{asked} has no effect: the site's own {kw} is tighter."),
                format!("사이트 자체 한도 {kw}가 더 엄격하므로 {asked} 지시는 효과가 없습니다."),
            ),
            Some((en, ko)) => (
                "tighter",
                format!(
                    "{asked} has no effect before {en}: the {kw} told by {holds} is at least as tight and stays until it ends or is ended."
                ),
                format!("{holds}의 {kw} 지시가 {ko}까지 유지되므로 그때까지 {asked} 지시는 효과가 없습니다."),
            ),
        };
        Some(Note {
            code,
            effect: Effect::None,
            en,
            ko,
        })
    }

    /// A target that nobody carries out.
    fn no_taker(&self, id: &Id) -> Option<Note> {
        let kind = &self.plant.components.get(id)?.kind;
        let none = |en: &str, ko: &str| Note {
            code: "takes_no_order",
            effect: Effect::None,
            en: en.into(),
            ko: ko.into(),
        };
        match kind {
            Kind::Battery(b) if b.grid_forming => Some(none(
                "It has no effect: this battery carries the island and follows the load by itself.",
                "이 배터리는 독립 전력망을 스스로 유지하므로 지시를 따르지 않습니다.",
            )),
            Kind::Pv(v) if !v.curtailable => Some(none(
                "It has no effect: the site file says that this inverter cannot be limited.",
                "이 인버터는 출력을 제한할 수 없습니다.",
            )),
            Kind::ChargePoint(_) if !self.state.sessions.contains_key(id) => Some(Note {
                code: "no_car",
                effect: Effect::Part,
                en: "No car is plugged in now; it counts for the next one.".into(),
                ko: "지금은 연결된 차량이 없으며, 다음 차량에 적용됩니다.".into(),
            }),
            _ => None,
        }
    }

    /// The connection may leave it less than it was told to draw.
    fn site_limit(&self, id: &Id) -> Option<Note> {
        let Some(Target::Power(p)) = self.state.overrides.get(id).map(|o| o.target) else {
            return None;
        };
        let consumer = !matches!(self.plant.components.get(id)?.kind, Kind::Generator(_));
        let InForce::Limit { power_kw, source, .. } = self.limit(Direction::Import) else {
            return None;
        };
        (consumer && p.as_kw() > power_kw).then(|| Note {
            code: "limit",
            effect: Effect::Part,
            en: format!("The import limit of {} ({source}) may leave it less.", power(power_kw)),
            ko: format!("수전 한도 {}({source}) 때문에 더 작아질 수 있습니다.", power(power_kw)),
        })
    }

    fn too_little_time(&self, id: &Id, s: &Session) -> Option<Note> {
        let component = self.plant.components.get(id)?;
        let Kind::ChargePoint(point) = &component.kind else {
            return None;
        };
        let most = point.current_max.as_amps() * self.plant.kw_per_amp(component) * point.efficiency;
        let possible = s.delivered.as_kwh() + most * hours(s.departure - self.now).max(0.0);
        let missing = s.energy.as_kwh() - possible;
        (missing > 0.05).then(|| Note {
            code: "too_little_time",
            effect: Effect::Part,
            en: format!(
                "Until then the charger gives {} at most: {} will be missing.",
                energy(possible),
                energy(missing)
            ),
            ko: format!(
                "그때까지 최대 {}만 충전할 수 있어 {}가 모자랍니다.",
                energy(possible),
                energy(missing)
            ),
        })
    }

    fn time(&self, t: Timestamp, language: Language) -> String {
        moment(t, self.plant.location.time_zone, language)
    }

    fn title(&self, id: &Id, language: Language) -> String {
        self.plant.title(id, language == Language::Ko)
    }

    fn sentence(&self, in_force: &InForce, language: Language) -> String {
        let en = language == Language::En;
        match in_force {
            InForce::Ev {
                component,
                departure,
                energy_kwh,
                delivered_kwh,
                mode,
            } => {
                let (title, leaves) = (self.title(component, language), self.time(*departure, language));
                let (all, got) = (energy(*energy_kwh), energy(*delivered_kwh));
                match en {
                    true => format!("{title}: {all} by {leaves}, {}; {got} of it is in.", mode_en(*mode)),
                    false => format!(
                        "{title}: {leaves}까지 {all}({}), 지금까지 {got} 충전했습니다.",
                        mode_ko(*mode)
                    ),
                }
            }
            InForce::Override {
                component,
                target,
                until,
            } => {
                let (title, until) = (self.title(component, language), self.time(*until, language));
                let kind = self.plant.components.get(component).map(|c| &c.kind);
                match en {
                    true => format!("{title}: {} until {until}, inside all limits.", told_en(kind, *target)),
                    false => format!("{title}: 모든 한도 안에서 {until}까지 {}.", told_ko(kind, *target)),
                }
            }
            InForce::NoOverride { component } => match en {
                true => format!("{}: the override is over.", self.title(component, language)),
                false => format!("{}: 수동 지시가 끝났습니다.", self.title(component, language)),
            },
            InForce::Limit { .. } => self.limit_sentence(in_force, language),
            InForce::Away { until, .. } => {
                let until = self.time(*until, language);
                match en {
                    true => format!("Away until {until}: loads are expected to draw what they draw without people."),
                    false => format!("{until}까지 집을 비웁니다. 부하는 사람이 없을 때의 사용량으로 예측합니다."),
                }
            }
            InForce::NotAway | InForce::Mode { .. } | InForce::Released | InForce::Nothing => {
                let (english, korean) = whole_site(in_force);
                if en { english } else { korean }.into()
            }
        }
    }

    fn limit_sentence(&self, in_force: &InForce, language: Language) -> String {
        let InForce::Limit {
            direction,
            power_kw,
            source,
            until,
        } = in_force
        else {
            return String::new();
        };
        let kw = power(*power_kw);
        let until = until.map(|t| self.time(t, language));
        match (language, direction, until) {
            (Language::En, d, Some(t)) => format!("In force: {} at most {kw} until {t}, told by {source}.", d.name()),
            (Language::En, d, None) => format!("In force: {} at most {kw}, the site's own.", d.name()),
            (Language::Ko, Direction::Import, Some(t)) => format!("적용 중: {t}까지 수전 최대 {kw}({source})."),
            (Language::Ko, Direction::Export, Some(t)) => format!("적용 중: {t}까지 역송 최대 {kw}({source})."),
            (Language::Ko, Direction::Import, None) => format!("적용 중: 수전 최대 {kw}(사이트 자체 한도)."),
            (Language::Ko, Direction::Export, None) => format!("적용 중: 역송 최대 {kw}(사이트 자체 한도)."),
        }
    }
}

/// What holds for the whole site, in English and Korean.
fn whole_site(in_force: &InForce) -> (&'static str, &'static str) {
    match in_force {
        InForce::Mode { mode: Mode::Control } => (
            "Madang controls the devices that the site file lets it control.",
            "사이트 파일이 허용한 장치를 제어합니다.",
        ),
        InForce::Mode { mode: Mode::Observe } => (
            "Madang only observes: it gives the devices back and writes nothing.",
            "관찰만 합니다. 제어권을 장치에 돌려주고 아무것도 쓰지 않습니다.",
        ),
        InForce::NotAway => (
            "Nobody is away: loads are expected to draw what is usual.",
            "집을 비우지 않았습니다. 부하는 평소 사용량으로 예측합니다.",
        ),
        InForce::Released => (
            "Everything is handed back to the devices; Madang only observes until it is told `mode control`.",
            "모든 제어권을 장치에 돌려주었습니다. 다시 제어를 선택할 때까지 관찰만 합니다.",
        ),
        _ => ("The car is gone.", "차량이 떠났습니다."),
    }
}

/// "50 kW asked, 5 kW is its most."
fn cut(component: &Component, asked: Target) -> Option<Note> {
    let given = carried(&component.kind, asked);
    let full = matches!((&component.kind, asked), (Kind::Pv(v), Target::PowerLimit(p)) if p >= v.inverter_max);
    if given == asked && !full {
        return None;
    }
    let least = match (asked, given) {
        (Target::Power(a), Target::Power(g)) => a.abs() < g.abs() || g.as_kw() == 0.0,
        (Target::Current(a), Target::Current(g)) => a < g || g.as_amps() == 0.0,
        _ => false,
    };
    let (wished, kept) = (size(asked)?, size(given)?);
    let (effect, en, ko) = match (full, least) {
        (true, _) => (
            Effect::None,
            format!("{wished} holds nothing back: {kept} is all that its inverter gives."),
            format!("{kept}가 인버터의 최대 출력이므로 {wished} 제한은 효과가 없습니다."),
        ),
        (_, true) => (
            Effect::Part,
            format!("{wished} was asked, which is below the least it runs at."),
            format!("요청한 {wished}는 최소 운전 값보다 작습니다."),
        ),
        _ => (
            Effect::Part,
            format!("{wished} was asked, {kept} is its most."),
            format!("{wished}를 요청했지만 최대는 {kept}입니다."),
        ),
    };
    Some(Note {
        code: "rating",
        effect,
        en,
        ko,
    })
}

fn size(target: Target) -> Option<String> {
    match target {
        Target::Power(p) | Target::PowerLimit(p) => Some(power(p.as_kw())),
        Target::Current(a) => Some(format!("{:.1} A", a.as_amps())),
        Target::On(_) | Target::Release => None,
    }
}

fn told_en(kind: Option<&Kind>, target: Target) -> String {
    let battery = matches!(kind, Some(Kind::Battery(_)));
    match target {
        Target::Power(p) if p.as_kw() == 0.0 => if battery { "rests" } else { "off" }.into(),
        Target::Power(p) if battery && p.as_kw() < 0.0 => format!("supplies {}", power(p.as_kw())),
        Target::Power(p) if battery => format!("charges {}", power(p.as_kw())),
        Target::Power(p) => format!("runs at {}", power(p.as_kw())),
        Target::PowerLimit(p) => format!("gives at most {}", power(p.as_kw())),
        Target::Current(a) if a.as_amps() == 0.0 => "pauses".into(),
        Target::Current(a) => format!("charges with at most {:.1} A", a.as_amps()),
        Target::On(on) => if on { "on" } else { "off" }.into(),
        Target::Release => "left to its own control".into(),
    }
}

fn told_ko(kind: Option<&Kind>, target: Target) -> String {
    let battery = matches!(kind, Some(Kind::Battery(_)));
    match target {
        Target::Power(p) if p.as_kw() == 0.0 => if battery { "쉽니다" } else { "끕니다" }.into(),
        Target::Power(p) if battery && p.as_kw() < 0.0 => format!("{}를 공급합니다", power(p.as_kw())),
        Target::Power(p) if battery => format!("{}로 충전합니다", power(p.as_kw())),
        Target::Power(p) => format!("{}로 가동합니다", power(p.as_kw())),
        Target::PowerLimit(p) => format!("최대 {}를 생산합니다", power(p.as_kw())),
        Target::Current(a) if a.as_amps() == 0.0 => "충전을 멈춥니다".into(),
        Target::Current(a) => format!("최대 {:.1} A로 충전합니다", a.as_amps()),
        Target::On(on) => if on { "켭니다" } else { "끕니다" }.into(),
        Target::Release => "장치에 맡깁니다".into(),
    }
}

fn mode_en(mode: EvMode) -> &'static str {
    match mode {
        EvMode::Fast => "as fast as possible",
        EvMode::Cheapest => "at least cost",
        EvMode::Surplus => "from solar surplus only",
    }
}

fn mode_ko(mode: EvMode) -> &'static str {
    match mode {
        EvMode::Fast => "최대한 빠르게",
        EvMode::Cheapest => "가장 저렴하게",
        EvMode::Surplus => "태양광 잉여만",
    }
}

#[cfg(test)]
mod tests;
