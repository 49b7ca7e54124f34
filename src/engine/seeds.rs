//! What a virtual host is made with, as its name says. Once it is there, all of it can be changed as any other.

use super::catalog::FirstUser;
use crate::broker::access::{Pattern, Permissions, User, VhostLimits};
use crate::broker::policy::Policy;
use crate::broker::refusal::Refusal;
use crate::name::Name;

/// What new virtual hosts have.
#[derive(Clone, Debug, Default)]
pub struct VhostSeeds {
    /// Limits: those of the first pattern that a name matches.
    pub limits: Vec<(Pattern, VhostLimits)>,
    /// Operator policies: those of every pattern that it matches.
    pub policies: Vec<(Pattern, Policy)>,
    /// Users: likewise.
    pub users: Vec<SeedUser>,
}

/// A user whom new virtual hosts have.
#[derive(Clone, Debug)]
pub struct SeedUser {
    /// Which of them.
    pub vhosts: Pattern,
    /// The name.
    pub name: Name,
    /// The user, who is made where there is none of that name.
    pub user: FirstUser,
    /// What the user may do there.
    pub permissions: Permissions,
}

/// The users of a new virtual host: the name, the user if there is none yet, what the user may do there.
pub(super) type Granted<'s> = Vec<(&'s Name, Option<User>, &'s Permissions)>;

impl VhostSeeds {
    /// The limits of a virtual host of this name.
    pub(super) fn limits_of(&self, vhost: &Name) -> VhostLimits {
        let found = self.limits.iter().find(|(pattern, _)| pattern.matches(vhost.as_str()));
        found.map_or_else(VhostLimits::default, |(_, limits)| *limits)
    }

    /// The operator policies of a virtual host of this name.
    pub(super) fn policies_of(&self, vhost: &Name) -> impl Iterator<Item = &Policy> {
        let fitting = self.policies.iter().filter(|(pattern, _)| pattern.matches(vhost.as_str()));
        fitting.map(|(_, policy)| policy)
    }

    /// The users of a virtual host of this name; those are made whom nobody knows. It takes the time that their passwords' hashes take.
    ///
    /// # Errors
    /// `Unavailable`: the system gives no randomness.
    pub(super) fn users_of(&self, vhost: &Name, is_known: impl Fn(&str) -> bool) -> Result<Granted<'_>, Refusal> {
        let fitting = self.users.iter().filter(|user| user.vhosts.matches(vhost.as_str()));
        let granted = fitting.map(|SeedUser { name, user, permissions, .. }| {
            let failed = |fault| Refusal::Unavailable(format!("user '{name}' cannot be made: {fault}"));
            let made = if is_known(name.as_str()) { None } else { Some(user.make().map_err(failed)?) };
            Ok((name, made, permissions))
        });
        granted.collect()
    }
}
