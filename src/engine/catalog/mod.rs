//! The catalog: virtual hosts, users and what each user may do where. One change at a time, each on disk as one commit;
//! reading waits for nobody.
//!
//! - [`vhosts`]: virtual hosts, made and deleted. [`users`]: users and permissions. [`parameters`]: settings of plugins.
//! - [`stored`]: their shape on disk.

mod parameters;
pub(super) mod stored;
mod users;
mod vhosts;

pub use parameters::ParameterRecord;
pub(super) use parameters::Parameters;
pub use users::{PermissionRecord, TopicPermissionRecord};
pub use vhosts::VhostRecord;

use super::Epoch;
use super::broker::Broker;
use super::vhost::Vhost;
use crate::broker::access::{Grants, Permissions, User, Users};
use crate::broker::refusal::Refusal;
use crate::name::Name;
use crate::store::Change;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;
use std::{fmt, io};

/// What a node has made on its first start.
#[derive(Clone, Debug)]
pub struct FirstStart {
    /// The virtual host.
    pub vhost: Name,
    /// The user.
    pub user: FirstUser,
    /// What the user may do there.
    pub permissions: Permissions,
}

/// A user that is made when it is wanted: to hash its password takes time that only a first start shall spend.
#[derive(Clone)]
pub struct FirstUser(Arc<dyn Fn() -> io::Result<User> + Send + Sync>);

impl FirstUser {
    /// A user made by a function.
    pub fn new(make: impl Fn() -> io::Result<User> + Send + Sync + 'static) -> FirstUser {
        FirstUser(Arc::new(make))
    }

    /// Makes it.
    pub(super) fn make(&self) -> io::Result<User> {
        (self.0)()
    }
}

impl From<User> for FirstUser {
    fn from(user: User) -> FirstUser {
        FirstUser::new(move || Ok(user.clone()))
    }
}

impl fmt::Debug for FirstUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FirstUser")
    }
}

/// Virtual hosts and users.
#[derive(Debug)]
pub(super) struct Catalog {
    /// Whoever changes something holds it from the look before to the hand-over to the committer: so changes reach the
    /// disk in the order in which they happened. Taken before any other lock.
    changing: Mutex<()>,
    vhosts: RwLock<HashMap<Name, Arc<Vhost>>>,
    users: RwLock<Users>,
    parameters: RwLock<Parameters>,
}

impl Catalog {
    pub fn new(vhosts: HashMap<Name, Arc<Vhost>>, users: Users, parameters: Parameters) -> Catalog {
        let (vhosts, users, parameters) = (RwLock::new(vhosts), RwLock::new(users), RwLock::new(parameters));
        Catalog { changing: Mutex::default(), vhosts, users, parameters }
    }

    /// The virtual host of a name.
    pub fn vhost(&self, name: &str) -> Result<Arc<Vhost>, Refusal> {
        let vhost = self.vhosts.read().get(name).cloned();
        vhost.ok_or_else(|| Refusal::VhostNotFound(name.to_owned()))
    }

    /// All virtual hosts, in no order.
    pub fn all_vhosts(&self) -> Vec<Arc<Vhost>> {
        self.vhosts.read().values().cloned().collect()
    }

    /// The user of a name.
    pub fn user(&self, name: &str) -> Option<Arc<User>> {
        self.users.read().get(name).cloned()
    }

    /// What a user may do in a virtual host. None: nothing.
    pub fn grants(&self, user: &str, vhost: &str) -> Option<Arc<Grants>> {
        self.users.read().grants(user, vhost).cloned()
    }
}

impl Broker {
    /// Runs a change of the catalog; what it leaves in the vector is stored. The answer waits for the epoch.
    fn change_catalog<T>(
        &self,
        run: impl FnOnce(&Catalog, &mut Vec<Change>) -> Result<T, Refusal>,
    ) -> Result<(T, Option<Epoch>), Refusal> {
        let catalog = self.catalog();
        let _changing = catalog.changing.lock();
        let mut changes = Vec::new();
        let value = run(catalog, &mut changes)?;
        let epoch = (!changes.is_empty()).then(|| self.committer().define(changes));
        Ok((value, epoch))
    }
}
