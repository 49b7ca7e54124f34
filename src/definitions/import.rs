//! Makes what a definitions file names, in RabbitMQ's order. Users, permissions, policies and parameters are set; queues,
//! exchanges and bindings that exist stay as they are.

use super::file::Definitions;
use super::json::Fault;
use crate::auth::password;
use crate::broker::access::HashAlgorithm;
use crate::broker::refusal::Refusal;
use crate::engine::Broker;

/// Makes everything. `hashing`: how passwords are hashed that are given as they are.
///
/// # Errors
/// The place of the first thing that cannot be made, and why. What was made before it stays.
pub fn import(broker: &Broker, definitions: Definitions, hashing: HashAlgorithm) -> Result<(), Fault> {
    let failed = |place: &str, problem: String| Fault { place: place.to_owned(), problem };
    for (mut user, given) in definitions.users {
        if let Some(given) = given {
            let hashed = password::hash(given.as_bytes(), hashing);
            user.password = hashed.map_err(|fault| failed("users", fault.to_string()))?;
        }
        broker.put_user(user);
    }
    for (name, metadata, limits) in definitions.vhosts {
        broker.put_vhost(&name, metadata).map_err(|refusal| failed("vhosts", refusal.to_string()))?;
        if let Some(limits) = limits {
            broker.set_vhost_limits(name.as_str(), limits).map_err(|refusal| failed("vhosts", refusal.to_string()))?;
        }
    }
    for (name, limits) in definitions.limits {
        let set = broker.set_vhost_limits(name.as_str(), limits);
        set.map_err(|refusal| failed("parameters", refusal.to_string()))?;
    }
    for (place, user, vhost, permissions) in definitions.permissions {
        let set = broker.set_permissions(user.as_str(), vhost.as_str(), Some(permissions));
        set.map_err(|refusal| failed(&place, refusal.to_string()))?;
    }
    for (place, vhost, spec) in definitions.exchanges {
        settle(&place, broker.import_exchange(vhost.as_str(), spec))?;
    }
    for (place, user, vhost, exchange, [write, read]) in definitions.topic_permissions {
        let topic = Some((write.as_str(), read.as_str()));
        let set = broker.set_topic_permissions(user.as_str(), vhost.as_str(), &exchange, topic);
        set.map_err(|refusal| failed(&place, refusal.to_string()))?;
    }
    for (place, vhost, policy, operator) in definitions.policies {
        let set = broker.set_policy(vhost.as_str(), policy, operator);
        set.map_err(|refusal| failed(&place, refusal.to_string()))?;
    }
    for (place, parameter) in definitions.parameters {
        let set =
            broker.put_parameter(parameter.vhost.as_ref(), &parameter.component, &parameter.name, parameter.value);
        set.map_err(|refusal| failed(&place, refusal.to_string()))?;
    }
    for (place, vhost, spec) in definitions.queues {
        settle(&place, broker.import_queue(vhost.as_str(), spec))?;
    }
    for (place, vhost, binding) in definitions.bindings {
        match broker.import_binding(vhost.as_str(), binding) {
            // Of a queue that was not exported, because it was exclusive.
            Err(Refusal::NotFound(end)) => tracing::warn!("definitions: {place}: not imported: no {end}"),
            other => settle(&place, other)?,
        }
    }
    if let Some(idle) = definitions.idle {
        tracing::warn!("definitions: kept without effect, because it is not supported: {idle}");
    }
    for skipped in definitions.skipped {
        tracing::warn!("definitions: {skipped} is the broker's own: not imported");
    }
    Ok(())
}

/// What exists with other properties stays as it is.
fn settle<T>(place: &str, outcome: Result<T, Refusal>) -> Result<(), Fault> {
    match outcome {
        Ok(_) => Ok(()),
        Err(refusal @ Refusal::Inequivalent { .. }) => {
            tracing::warn!("definitions: {place}: left as it is: {refusal}");
            Ok(())
        }
        Err(refusal) => Err(Fault { place: place.to_owned(), problem: refusal.to_string() }),
    }
}
