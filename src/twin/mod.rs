//! The digital twin: plant physics, weather, Modbus device servers, fault injection.
