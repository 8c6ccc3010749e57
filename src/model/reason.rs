//! Why something is done: data first, sentences (en, ko) from it.

use serde::{Deserialize, Serialize};

/// Language of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    En,
    Ko,
}

/// Reason of a decision: a stable code and the numbers that back it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    pub code: ReasonCode,
    /// Marginal value of a stored kWh, money per kWh, where it decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value_per_kwh: Option<f64>,
    /// Price compared with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub price_per_kwh: Option<f64>,
    /// The limit that binds, kW or A.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<f64>,
}

impl Reason {
    pub fn new(code: ReasonCode) -> Self {
        Self {
            code,
            value_per_kwh: None,
            price_per_kwh: None,
            limit: None,
        }
    }
    pub fn worth(mut self, value: Option<f64>, price: Option<f64>) -> Self {
        (self.value_per_kwh, self.price_per_kwh) = (value, price);
        self
    }
    pub fn limited(mut self, limit: f64) -> Self {
        self.limit = Some(limit);
        self
    }
    /// A sentence for people, without the numbers of money: those need the site's currency and stand in the plan's
    /// [`Explanation`](super::Explanation).
    pub fn sentence(&self, language: Language) -> String {
        let text = match language {
            Language::En => self.code.en().to_owned(),
            Language::Ko => self.code.ko().to_owned(),
        };
        match (self.limit.filter(|_| self.code != ReasonCode::LimitFuse), language) {
            (Some(limit), Language::En) => format!("{text} ({limit:.1} kW)"),
            (Some(limit), Language::Ko) => format!("{text}({limit:.1} kW)"),
            (None, _) => text,
        }
    }
}

macro_rules! codes {
    ($($name:ident: $en:literal / $ko:literal),+ $(,)?) => {
        /// Stable code of a reason.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ReasonCode { $($name),+ }
        impl ReasonCode {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
            pub fn en(self) -> &'static str { match self { $(Self::$name => $en),+ } }
            pub fn ko(self) -> &'static str { match self { $(Self::$name => $ko),+ } }
        }
    };
}

codes! {
    CoverLoad: "supplies the load: stored energy is cheaper than what the meter charges" / "저장한 전력을 공급합니다. 계량기 요금보다 저렴합니다",
    StoreSurplus: "stores surplus: it is worth more later than selling it now" / "남는 전력을 저장합니다. 파는 것보다 가치가 높습니다",
    HoldForLater: "holds: the stored energy is worth more later" / "전력을 아껴 둡니다. 나중에 더 가치가 있습니다",
    GridCharge: "charges from the grid as planned: cheap now, dear later" / "계획에 따라 계통에서 충전합니다. 지금이 저렴합니다",
    SellStored: "sells stored energy as planned: the price is above what it is worth here" / "계획에 따라 저장한 전력을 판매합니다",
    ShavePeak: "holds the demand peak" / "최대수요가 오르지 않게 합니다",
    FollowPlan: "follows the plan" / "계획에 따릅니다",
    ChargeFast: "charges at once, as asked" / "요청에 따라 바로 충전합니다",
    ChargeCheap: "charges now: among the cheapest hours before departure" / "출발 전 가장 저렴한 시간에 충전합니다",
    ChargeSurplus: "charges from PV surplus" / "남는 태양광 전력으로 충전합니다",
    WaitCheaper: "waits for cheaper hours before departure" / "출발 전 더 저렴한 시간을 기다립니다",
    ChargeDone: "has what it needs" / "필요한 만큼 충전되었습니다",
    CarTakesNothing: "on offer, but the car takes nothing: it is full or asleep" / "차량이 전력을 받지 않습니다. 가득 찼거나 절전 상태입니다",
    MustChargeNow: "must charge now to be ready in time" / "제시간에 마치려면 지금 충전해야 합니다",
    NoCar: "no car is plugged in" / "연결된 차량이 없습니다",
    LimitImport: "held back by the import limit" / "수전 한도 때문에 제한됩니다",
    LimitExport: "held back by the export limit" / "역송 한도 때문에 제한됩니다",
    LimitFuse: "held back by a fuse" / "차단기 용량 때문에 제한됩니다",
    LimitExternal: "held back by an external limit" / "외부 지시 때문에 제한됩니다",
    LimitRating: "held back by its own rating" / "정격 때문에 제한됩니다",
    LimitSoc: "held back by its state of charge" / "충전 상태 때문에 제한됩니다",
    CurtailNegative: "curtails: export would cost money" / "출력을 낮춥니다. 팔면 돈을 내야 합니다",
    CurtailSurplus: "curtails: nobody can take the surplus" / "출력을 낮춥니다. 남는 전력을 받을 곳이 없습니다",
    RunHeat: "heats now: cheap or sunny" / "지금 가동합니다. 저렴하거나 햇빛이 좋습니다",
    ComfortHeat: "heats for comfort" / "쾌적한 온도를 위해 가동합니다",
    HeatSatisfied: "warm enough" / "충분히 따뜻합니다",
    RunShiftable: "runs now as planned" / "계획대로 지금 가동합니다",
    WaitShiftable: "waits for its planned time" / "계획된 시간을 기다립니다",
    DeadlineShiftable: "must run now to be done in time" / "제때 끝내려면 지금 가동해야 합니다",
    ShedLoad: "switched off: power is short" / "전력이 부족해 껐습니다",
    KeepServed: "served" / "공급하고 있습니다",
    GeneratorNeeded: "runs: the battery alone would not last" / "배터리만으로는 부족해 가동합니다",
    GeneratorRest: "rests: the battery and the sun suffice" / "배터리와 태양광으로 충분합니다",
    GeneratorMinimum: "stays on for its minimum running time" / "최소 운전 시간 동안 계속 가동합니다",
    Override: "as told by a person, until it expires" / "사용자 지시에 따릅니다",
    Thermostat: "thermostat" / "온도조절기를 따릅니다",
    RuleSelfConsumption: "self-consumption by rule" / "규칙에 따라 자가소비합니다",
    PolicyIdle: "does nothing of its own" / "스스로 동작하지 않습니다",
    FallbackNoPlan: "self-consumption by rule: there is no valid plan" / "유효한 계획이 없어 규칙에 따라 자가소비합니다",
    SafeGridSilent: "safe: the grid meter is silent" / "계통 계량기 응답이 없어 안전 모드입니다",
    SafeStart: "safe: waiting for the first good cycle" / "첫 정상 주기를 기다리는 안전 모드입니다",
    DeviceSilent: "its device is silent" / "장치가 응답하지 않습니다",
    HandedBack: "handed back to the device" / "장치에 제어권을 돌려주었습니다",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_sentence_in_both_languages() {
        for code in ReasonCode::ALL {
            let reason = Reason::new(*code).worth(Some(0.1), Some(0.2)).limited(3.0);
            assert!(reason.sentence(Language::En).len() > 10);
            assert!(
                reason
                    .sentence(Language::Ko)
                    .chars()
                    .any(|c| ('가'..='힣').contains(&c)),
                "{code:?}"
            );
        }
    }
}
