//! What virtual hosts are made with, as the settings say.

use super::{NodeError, logins};
use crate::auth;
use crate::broker::access::{PasswordHash, Pattern, Permissions, User, VhostLimits};
use crate::broker::policy::{ApplyTo, Policy};
use crate::config::{Config, VhostDefaults, VhostPolicy, VhostUser};
use crate::engine::{FirstUser, SeedUser, VhostSeeds};
use crate::name::Name;
use crate::value::{Table, Value};

/// All of it.
pub(super) fn of(config: &Config) -> Result<VhostSeeds, NodeError> {
    let wrong = |fault| NodeError::Failed(format!("limits.vhost_policies: {fault}"));
    let policies = config.limits.vhost_policies.iter().map(policy).collect::<Result<_, _>>();
    Ok(VhostSeeds {
        limits: config.limits.vhost_limits.iter().map(limits).collect(),
        policies: policies.map_err(wrong)?,
        users: config.auth.vhost_users.iter().map(|given| user(config, given)).collect(),
    })
}

fn limits(defaults: &VhostDefaults) -> (Pattern, VhostLimits) {
    let VhostDefaults { pattern, max_connections, max_queues } = defaults;
    (Pattern::new(pattern), VhostLimits { max_connections: *max_connections, max_queues: *max_queues })
}

fn policy(given: &VhostPolicy) -> Result<(Pattern, Policy), String> {
    let mut definition = Table::new();
    for (key, value) in &given.definition {
        definition.push(*key, Value::I64(i64::try_from(*value).unwrap_or(i64::MAX)));
    }
    let apply_to = ApplyTo::parse(given.apply_to).unwrap_or(ApplyTo::All);
    let policy = Policy::new(given.name.clone(), &given.queues, apply_to, definition, 0, true)?;
    Ok((Pattern::new(&given.vhosts), policy))
}

fn user(config: &Config, given: &VhostUser) -> SeedUser {
    let [configure, write, read] = given.rights.each_ref().map(|text| Pattern::new(text));
    let (hashing, made) = (logins::hashing(config), given.clone());
    let user = FirstUser::new(move || {
        let tags: Vec<&str> = made.tags.iter().map(Name::as_str).collect();
        match &made.password {
            Some(password) => auth::user_hashed(made.name.as_str(), password.reveal(), &tags, hashing),
            None => Ok(User::new(made.name.clone(), PasswordHash::default(), &tags)),
        }
    });
    let permissions = Permissions { configure, write, read };
    SeedUser { vhosts: Pattern::new(&given.vhosts), name: given.name.clone(), user, permissions }
}
