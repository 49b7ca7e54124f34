//! Parameters: settings of plugins, kept for whoever understands them.

use super::stored;
use crate::broker::refusal::Refusal;
use crate::engine::events::By;
use crate::engine::{Broker, Epoch};
use crate::name::Name;
use crate::value::Value;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The parameter of the whole node that holds the cluster's name, as in RabbitMQ's definitions.
const CLUSTER_NAME: &str = "cluster_name";

/// Which parameter: its virtual host (None: of the whole node), its component, its name.
pub(in crate::engine) type ParameterKey = (Option<Name>, Name, Name);

/// All parameters.
#[derive(Debug, Default)]
pub(in crate::engine) struct Parameters(pub BTreeMap<ParameterKey, Value>);

/// A parameter as listed.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterRecord {
    /// Its virtual host; None: of the whole node.
    pub vhost: Option<Name>,
    /// Whose it is; empty for one of the whole node.
    pub component: Name,
    /// Its name.
    pub name: Name,
    /// Its value.
    pub value: Value,
}

impl Broker {
    /// Sets a parameter of a virtual host, or of the whole node.
    ///
    /// # Errors
    /// `VhostNotFound`.
    pub fn put_parameter(
        &self,
        vhost: Option<&Name>,
        component: &Name,
        name: &Name,
        value: Value,
    ) -> Result<Option<Epoch>, Refusal> {
        let changed = self.change_catalog(|catalog, changes| {
            vhost.map_or(Ok(()), |vhost| catalog.vhost(vhost.as_str()).map(|_| ()))?;
            let key = (vhost.cloned(), component.clone(), name.clone());
            changes.push(stored::put_parameter(&key, Some(&value)));
            let before = catalog.parameters.write().0.insert(key.clone(), value.clone());
            if before.as_ref() != Some(&value) {
                By::itself(self).tell_parameter("parameter.set", &key, Some(&value));
            }
            Ok(())
        })?;
        Ok(changed.1)
    }

    /// Removes a parameter. False when there was none.
    pub fn remove_parameter(&self, vhost: Option<&Name>, component: &Name, name: &Name) -> bool {
        let changed = self.change_catalog(|catalog, changes| {
            let key = (vhost.cloned(), component.clone(), name.clone());
            let found = catalog.parameters.write().0.remove(&key).is_some();
            if found {
                changes.push(stored::put_parameter(&key, None));
                By::itself(self).tell_parameter("parameter.cleared", &key, None);
            }
            Ok(found)
        });
        changed.is_ok_and(|(found, _)| found)
    }

    /// The cluster's name: the one it was given, else that of the settings.
    pub fn cluster_name(&self) -> String {
        let parameters = self.catalog().parameters.read();
        let given = Name::new(CLUSTER_NAME).and_then(|name| parameters.0.get(&(None, Name::default(), name)));
        given.and_then(Value::as_str).map_or_else(|| self.default_cluster_name().to_owned(), str::to_owned)
    }

    /// What stays the same whatever the cluster is called: made of the store's mark, which nobody is told.
    pub fn cluster_id(&self) -> String {
        let digest =
            Sha256::new().chain_update(b"cluster id").chain_update(self.committer().storage().mark()).finalize();
        let short = digest.as_slice().get(..16).unwrap_or_default();
        format!("rabbitmq-cluster-id-{}", URL_SAFE_NO_PAD.encode(short))
    }

    /// Gives the cluster a name.
    ///
    /// # Errors
    /// As [`Broker::put_parameter`].
    pub fn name_cluster(&self, name: &str) -> Result<Option<Epoch>, Refusal> {
        let key = Name::new(CLUSTER_NAME).unwrap_or_default();
        self.put_parameter(None, &Name::default(), &key, Value::from(name))
    }

    /// All parameters, those of the whole node first.
    pub fn parameters(&self) -> Vec<ParameterRecord> {
        let parameters = self.catalog().parameters.read();
        let records = parameters.0.iter().map(|((vhost, component, name), value)| ParameterRecord {
            vhost: vhost.clone(),
            component: component.clone(),
            name: name.clone(),
            value: value.clone(),
        });
        records.collect()
    }
}
