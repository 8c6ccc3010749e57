//! Closed loop in virtual time: policies, reports.
