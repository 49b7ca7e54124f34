//! What client and server tell each other about themselves (compat.md 1.5.2 and 1.5.10).

use super::settings::Settings;
use crate::value::{Table, Value};

const OURS: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];

/// What a client says it can do, where we do something different if it cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// It understands basic.cancel from us.
    pub consumer_cancel_notify: bool,
    /// It understands connection.blocked.
    pub connection_blocked: bool,
    /// It understands connection.close before it has logged in.
    pub authentication_failure_close: bool,
}

impl Capabilities {
    /// Reads client properties.
    pub fn of(client_properties: &Table) -> Capabilities {
        let table = client_properties.get("capabilities").and_then(Value::as_table);
        let has = |name: &str| table.and_then(|table| table.get(name)).and_then(Value::as_bool).unwrap_or(false);
        Capabilities {
            consumer_cancel_notify: has("consumer_cancel_notify"),
            connection_blocked: has("connection.blocked"),
            authentication_failure_close: has("authentication_failure_close"),
        }
    }
}

/// The server properties of connection.start.
pub(super) fn server_properties(settings: &Settings, cluster_name: &str) -> Table {
    let capabilities: Table = OURS.iter().map(|name| (*name, true)).collect();
    let mut properties = Table::new();
    properties.insert("capabilities", capabilities);
    properties.insert("cluster_name", cluster_name);
    properties.insert("copyright", "Copyright (c) the Warren authors");
    properties.insert("information", "Licensed under the Apache License 2.0");
    properties.insert("platform", "Rust");
    properties.insert("product", settings.product.as_str());
    properties.insert("version", settings.version.as_str());
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_does_not_name_it_cannot_do() {
        assert_eq!(Capabilities::of(&Table::new()), Capabilities::default());
        let mut capabilities = Table::new();
        capabilities.insert("consumer_cancel_notify", true);
        capabilities.insert("connection.blocked", false);
        capabilities.insert("authentication_failure_close", "yes");
        let mut properties = Table::new();
        properties.insert("capabilities", capabilities);
        let only_cancel = Capabilities { consumer_cancel_notify: true, ..Capabilities::default() };
        assert_eq!(Capabilities::of(&properties), only_cancel);
    }
}
