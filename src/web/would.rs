//! What the controller would tell a component if it were in control, for sites that are only observed.

use crate::model::{Target, words};
use crate::site::Kind;
use crate::units::Power;

/// Below this a power is none, kW.
const NONE: f64 = 0.02;

/// An order in both languages: "charge 3.0 kW".
pub fn order(kind: &Kind, target: &Target) -> (String, String) {
    let size = |p: Power| words::power(p.as_kw());
    let fixed = |en: &str, ko: &str| (en.to_owned(), ko.to_owned());
    match (target, kind) {
        (Target::Release, _) => fixed("leave it to the device", "장치에 맡김"),
        (Target::On(true), _) => fixed("switch on", "켜기"),
        (Target::On(false), _) => fixed("switch off", "끄기"),
        (Target::Current(a), _) if a.as_amps() < 0.1 => fixed("pause", "일시 정지"),
        (Target::Current(a), _) => {
            let amps = format!("{:.0} A", a.as_amps());
            (format!("charge with {amps}"), format!("{amps}로 충전"))
        }
        (Target::PowerLimit(p), _) => (
            format!("produce at most {}", size(*p)),
            format!("최대 {} 발전", size(*p)),
        ),
        (Target::Power(p), Kind::Battery(_)) if p.as_kw() > NONE => {
            (format!("charge {}", size(*p)), format!("{} 충전", size(*p)))
        }
        (Target::Power(p), Kind::Battery(_)) if p.as_kw() < -NONE => {
            (format!("discharge {}", size(*p)), format!("{} 방전", size(*p)))
        }
        (Target::Power(_), Kind::Battery(_)) => fixed("rest", "대기"),
        (Target::Power(p), _) if p.as_kw().abs() <= NONE => fixed("stop", "정지"),
        (Target::Power(p), _) => (format!("run at {}", size(*p)), format!("{} 가동", size(*p))),
    }
}
