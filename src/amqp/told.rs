//! What the node's events say of connections, channels and consumers (compat.md 5): fields as RabbitMQ's event exchange has
//! them, in no meaningful order. Processes that RabbitMQ names are numbers here, written alike.

use super::connection::Connection;
use super::link::{Link, Tuned};
use crate::engine::{Churn, ConnectionInfo, TlsInfo, listed};
use crate::value::{Table, Value};

/// The protocol, as RabbitMQ prints it.
const PROTOCOL: &str = "{0,9,1}";

/// What a client said of itself before it opened its connection.
#[derive(Clone, Debug)]
pub(super) struct Introduction {
    pub mechanism: String,
    pub properties: Table,
}

impl Connection {
    /// A login has succeeded, or was denied.
    pub(super) fn tell_login(&self, user: &str, mechanism: &str, denied: Option<&str>) {
        let churn = self.broker.churn();
        Churn::note(if denied.is_some() { &churn.logins_failed } else { &churn.logins_succeeded });
        let kind = if denied.is_some() { "user.authentication.failure" } else { "user.authentication.success" };
        self.broker.tell(kind, || {
            let mut fields = self.ends();
            fields.push("name", user);
            fields.push("connection_type", "network");
            fields.push("connection_name", format!("{} -> {}", self.peer.address, self.peer.local));
            fields.push("protocol", PROTOCOL);
            fields.push("auth_mechanism", mechanism);
            if let Some(error) = denied {
                fields.push("error", error);
            }
            fields
        });
    }

    /// The connection is open.
    pub(super) fn tell_opened(&self, link: &Link, tuned: &Tuned, introduction: &Introduction) {
        link.session.tell("connection.created", || {
            let mut fields = self.ends();
            fields.push("type", "network");
            fields.push("pid", link.process(0));
            fields.push("name", &*link.name);
            fields.push("auth_mechanism", introduction.mechanism.as_str());
            fields.push("protocol", PROTOCOL);
            fields.push("user", link.session.identity().user.as_str());
            fields.push("vhost", link.session.vhost().as_str());
            let heartbeat = self.heartbeat.as_ref().map_or(0, |heartbeat| heartbeat.interval().as_secs());
            fields.push("timeout", Value::I64(heartbeat as i64));
            fields.push("frame_max", Value::I64(tuned.frame_max.into()));
            fields.push("channel_max", Value::I64(tuned.channel_max.into()));
            fields.push("client_properties", listed(&introduction.properties));
            fields.push("connected_at", Value::I64(self.now.wall_ms as i64));
            fields.push("node", self.broker.node_name());
            if let Some(name) = &self.client_name {
                fields.push("user_provided_name", name.as_str());
            }
            fields
        });
    }

    /// From now on the connection is listed.
    pub(super) fn introduce(&mut self, link: &Link, tuned: &Tuned, introduction: &Introduction) {
        let record = link.session.record();
        let before = self.traffic.totals();
        self.traffic = record.traffic().clone();
        self.traffic.begin_with(before);
        let [(peer_host, peer_port), (host, port)] =
            [&self.peer.address, &self.peer.local].map(|end| host_and_port(end));
        link.session.introduce(ConnectionInfo {
            name: link.name.to_string(),
            user_provided_name: self.client_name.clone(),
            peer_host: peer_host.to_owned(),
            peer_port,
            host: host.to_owned(),
            port,
            tls: self.peer.tls.as_ref().map(|tls| TlsInfo {
                protocol: tls.protocol.to_owned(),
                key_exchange: tls.key_exchange.clone(),
                cipher: tls.cipher.clone(),
                hash: tls.hash.to_owned(),
                certificate: tls
                    .certificate
                    .as_ref()
                    .map(|shown| [shown.subject.clone(), shown.issuer.clone(), shown.validity.clone()]),
            }),
            mechanism: introduction.mechanism.clone(),
            frame_max: tuned.frame_max,
            channel_max: tuned.channel_max,
            timeout: self.heartbeat.as_ref().map_or(0, |heartbeat| heartbeat.interval().as_secs()),
            client_properties: introduction.properties.clone(),
            connected_at: self.now.wall_ms,
        });
    }

    /// Both ends of the socket.
    fn ends(&self) -> Table {
        let mut fields = Table::new();
        let ends = [("peer_host", "peer_port", &self.peer.address), ("host", "port", &self.peer.local)];
        for (host_key, port_key, address) in ends {
            let (host, port) = host_and_port(address);
            fields.push(host_key, host);
            fields.push(port_key, Value::I64(port.into()));
        }
        fields.push("ssl", self.peer.tls.is_some());
        if let Some(tls) = &self.peer.tls {
            fields.push("ssl_protocol", tls.protocol);
            fields.push("ssl_key_exchange", tls.key_exchange.as_str());
            fields.push("ssl_cipher", tls.cipher.as_str());
            fields.push("ssl_hash", tls.hash);
            if let Some(certificate) = &tls.certificate {
                fields.push("peer_cert_subject", certificate.subject.as_str());
                fields.push("peer_cert_issuer", certificate.issuer.as_str());
                fields.push("peer_cert_validity", certificate.validity.as_str());
            }
        }
        fields
    }
}

/// The parts of `host:port`, or of `[host]:port`.
fn host_and_port(address: &str) -> (&str, u16) {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
    (host.trim_start_matches('[').trim_end_matches(']'), port.parse().unwrap_or(0))
}

impl Link {
    /// The name of the connection's process, 0, or of a channel's.
    fn process(&self, channel: u16) -> String {
        format!("<{}.{}.{channel}>", self.session.broker().node_name(), self.session.id().0)
    }

    /// The connection has ended.
    pub fn tell_closed(&self) {
        self.session.tell("connection.closed", || {
            let mut fields = Table::new();
            fields.push("name", &*self.name);
            fields.push("pid", self.process(0));
            fields.push("node", self.session.broker().node_name());
            fields
        });
    }

    /// A channel was opened.
    pub fn tell_channel_opened(&self, number: u16) {
        self.session.tell("channel.created", || {
            let mut fields = Table::new();
            fields.push("pid", self.process(number));
            fields.push("name", format!("{} ({number})", self.name));
            fields.push("connection", self.process(0));
            fields.push("number", Value::I64(number.into()));
            fields.push("user", self.session.identity().user.as_str());
            fields.push("vhost", self.session.vhost().as_str());
            fields
        });
    }

    /// A channel has ended.
    pub fn tell_channel_closed(&self, number: u16) {
        self.session.tell("channel.closed", || {
            let mut fields = Table::new();
            fields.push("pid", self.process(number));
            fields
        });
    }

    /// `consumer.created` or `consumer.deleted`; `more`: fields that only one of them has.
    pub fn tell_consumer(
        &self,
        kind: &'static str,
        (channel, tag, queue): (u16, &str, &str),
        more: impl FnOnce() -> Vec<(&'static str, Value)>,
    ) {
        self.session.tell(kind, || {
            let mut fields = Table::new();
            fields.push("consumer_tag", tag);
            fields.push("channel", self.process(channel));
            fields.push("queue", queue);
            fields.push("vhost", self.session.vhost().as_str());
            more().into_iter().for_each(|(key, value)| fields.push(key, value));
            fields
        });
    }
}
