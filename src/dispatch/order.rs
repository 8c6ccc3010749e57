//! What a law decided for one component, before it becomes a leased setpoint.

use crate::model::{Reason, ReasonCode, Target};
use crate::site::Id;

#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub component: Id,
    pub target: Target,
    pub reason: Reason,
}

impl Order {
    pub fn new(component: &Id, target: Target, reason: Reason) -> Self {
        Self {
            component: component.clone(),
            target,
            reason,
        }
    }
    /// A limit held something back.
    pub fn binds(&self) -> bool {
        use ReasonCode::*;
        matches!(
            self.reason.code,
            LimitImport | LimitExport | LimitFuse | LimitExternal | ShavePeak
        )
    }
}
