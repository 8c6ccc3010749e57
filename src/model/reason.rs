//! Why something is decided: a code and numbers. What is told of it at a moment is made by [`super::Now`], of a plan by
//! [`super::Explanation`].

use serde::{Deserialize, Serialize};

/// Language of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    En,
    Ko,
}

impl Language {
    pub const ALL: [Self; 2] = [Self::En, Self::Ko];
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
}

macro_rules! codes {
    ($($name:ident: $en:literal / $ko:literal),+ $(,)?) => {
        /// Stable code of a reason, and the bare cause in words.
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
    CoverLoad: "stored energy is cheaper than what the meter charges" / "저장한 전력이 계량기 요금보다 저렴합니다",
    StoreSurplus: "stored surplus is worth more later than selling it now" / "남는 전력은 지금 파는 것보다 저장하는 것이 유리합니다",
    HoldForLater: "the stored energy is worth more later" / "저장한 전력은 나중에 더 가치가 있습니다",
    GridCharge: "electricity from the grid is cheap now and dear later" / "계통 전력이 지금은 저렴하고 나중에는 비쌉니다",
    SellStored: "selling brings more than the stored energy is worth here" / "저장한 전력을 여기서 쓰는 것보다 파는 것이 유리합니다",
    ShavePeak: "so that the demand peak does not rise" / "최대수요가 오르지 않게 합니다",
    FollowPlan: "as planned" / "계획에 따릅니다",
    ChargeFast: "its owner wants it full as soon as possible" / "차주가 최대한 빠른 충전을 원합니다",
    ChargeCheap: "these are among the cheapest hours before departure" / "출발 전 가장 저렴한 시간입니다",
    ChargeSurplus: "there is surplus from the sun" / "태양광 전력이 남기 때문입니다",
    WaitCheaper: "cheaper hours come before departure" / "출발 전에 더 저렴한 시간이 있습니다",
    ChargeDone: "the car has what it needs" / "필요한 만큼 충전되었습니다",
    CarTakesNothing: "power is on offer, but the car takes none: it is full or asleep" / "전력을 공급할 수 있지만 차량이 받지 않습니다",
    MustChargeNow: "it needs all the time left to be ready" / "제시간에 마치려면 남은 시간을 모두 써야 합니다",
    NoCar: "no car is plugged in" / "연결된 차량이 없습니다",
    LimitImport: "so that the import limit holds" / "수전 한도를 지키기 위해서입니다",
    LimitExport: "so that the export limit holds" / "역송 한도를 지키기 위해서입니다",
    LimitFuse: "so that a fuse holds" / "차단기 용량을 지키기 위해서입니다",
    LimitExternal: "so that a limit told from outside holds" / "외부 지시 한도를 지키기 위해서입니다",
    LimitRating: "its own rating allows no more" / "정격 때문에 더 늘릴 수 없습니다",
    LimitSoc: "its state of charge allows no more" / "충전 상태 때문에 더 늘릴 수 없습니다",
    Ceiling: "free to produce up to a ceiling it is far from" / "정해진 상한까지 자유롭게 발전합니다",
    CurtailNegative: "selling more would cost money" / "더 팔면 돈을 내야 합니다",
    CurtailSurplus: "nobody can use or store the rest" / "남는 전력을 쓰거나 저장할 곳이 없습니다",
    RunHeat: "heat is stored while it is cheap or sunny" / "저렴하거나 햇빛이 좋을 때 열을 저장합니다",
    ComfortHeat: "the rooms need the heat" / "난방이 필요합니다",
    HeatSatisfied: "no heat is needed now" / "지금은 난방이 필요하지 않습니다",
    RunShiftable: "its planned time has come" / "계획된 시간입니다",
    WaitShiftable: "its planned time has not come" / "계획된 시간이 아직 아닙니다",
    DeadlineShiftable: "it must run now to be done in time" / "제때 끝내려면 지금 가동해야 합니다",
    ShedLoad: "there is not enough power for everything" / "모두에게 공급하기에는 전력이 부족합니다",
    KeepServed: "there is enough power for it" / "공급할 전력이 충분합니다",
    GeneratorNeeded: "the battery and the sun are not enough" / "배터리와 태양광만으로는 부족합니다",
    GeneratorRest: "the battery and the sun are enough" / "배터리와 태양광만으로 충분합니다",
    GeneratorMinimum: "once started it must stay on for a while" / "한번 켜면 최소 시간 동안 가동해야 합니다",
    Override: "a person said so" / "사용자 지시에 따릅니다",
    Thermostat: "it follows its own thermostat" / "자체 온도조절기를 따릅니다",
    RuleSelfConsumption: "by the rule of self-consumption" / "자가소비 규칙에 따릅니다",
    PolicyIdle: "nothing moves it under this policy" / "이 방식에서는 스스로 동작하지 않습니다",
    FallbackNoPlan: "by the rule of self-consumption: there is no valid plan" / "유효한 계획이 없어 자가소비 규칙에 따릅니다",
    SafeGridSilent: "safe setpoints are in force" / "안전 설정값이 적용되고 있습니다",
    SafeStart: "the first good cycle is still to come" / "첫 정상 주기를 기다립니다",
    DeviceSilent: "its device is silent" / "장치가 응답하지 않습니다",
    HandedBack: "control is handed back to it" / "제어권을 장치에 돌려주었습니다",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_words_in_both_languages() {
        for code in ReasonCode::ALL {
            assert!(code.en().len() > 8, "{code:?}");
            assert!(code.ko().chars().any(|c| ('가'..='힣').contains(&c)), "{code:?}");
        }
    }
}
