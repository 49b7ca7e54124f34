//! Who may do what (compat.md 2.12), pure: the same question for every protocol, [`authorize`].
//!
//! - [`operation`]: what a client may want to do, and what each operation needs: the one table.
//! - [`grants`]: what a user may do in a virtual host. [`pattern`]: the regular expressions in it, bounded.
//! - [`user`]: users, their passwords as stored, their tags and limits. [`users`]: all of them with their grants.
//! - [`vhost`]: what is known of a virtual host beside what is in it.

pub mod grants;
pub mod operation;
pub mod pattern;
#[cfg(test)]
mod tests;
pub mod user;
pub mod users;
pub mod vhost;

pub use grants::{Grants, Permissions, TopicPermissions};
pub use operation::{Access, Authority, Operation, Rights, authorize};
pub use pattern::Pattern;
pub use user::{HashAlgorithm, Identity, PasswordHash, User, UserLimits};
pub use users::Users;
pub use vhost::{VhostLimits, VhostMetadata};
