//! SunSpec: discovery of models, their points with scale factors, commands of models 123, 124 and 704, heartbeat of 715.
//!
//! In: a connection, a unit id, a profile's quirks. Out: [`Discovered`]: what to read, values by name, programs of commands.
//!
//! **Names.** The first model that has a name keeps it plain (`active_power`); any later one is told apart by its family and
//! its number within it: an inverter with three meters behind it shows `active_power`, `meter[1].active_power`,
//! `meter[2].active_power`, … Repeating parts carry their number always: `mppt[1].dc_power`, `port[1]…`, `string[1]…`,
//! `battery_string[1].module[3]…`. A profile's `[quirks.names]` gives other names.
//!
//! **Signs.** An inverter's W counts generation, so it turns; a meter's W counts import and stays, unless the profile says that
//! the vendor counts otherwise. DC power of modules and ports keeps the device's sign.
//!
//! **Scale factors** may change at any moment. They are read in the same request as the values they scale; where a model is
//! too long for one request, its scale factors are read before and after, and a change between makes the values invalid.

mod bank;
mod control;
mod discover;
mod image;
mod names;
mod points;
mod tables;

pub use bank::INVERTER_STATES;
pub use discover::discover;
pub use image::Discovered;

/// A model found on the device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Model {
    pub unit: u8,
    /// The same for requests: `None` where it is the device's own.
    pub via: Option<u8>,
    pub id: u16,
    /// Address of its ID register.
    pub addr: u16,
    /// Registers after ID and length.
    pub len: u16,
    /// How often its repeating part is there.
    pub repeats: u16,
}

impl Model {
    /// Whether registers `offset..offset + size` (from the ID register) belong to the model as this device has it.
    fn holds(&self, offset: u16, size: u16) -> bool {
        u32::from(offset) + u32::from(size) <= u32::from(self.len) + 2
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    pub manufacturer: String,
    pub model: String,
    pub version: String,
    pub serial: String,
}
