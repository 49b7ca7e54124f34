//! What a user may do in a virtual host.

use super::operation::Access;
use super::pattern::Pattern;
use crate::name::Name;
use std::collections::BTreeMap;

/// The three expressions of a permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Names of what the user may make and delete.
    pub configure: Pattern,
    /// Names of what the user may send messages to.
    pub write: Pattern,
    /// Names of what the user may get messages from.
    pub read: Pattern,
}

impl Permissions {
    /// Everything.
    pub fn all() -> Permissions {
        let everything = || Pattern::new(".*");
        Permissions { configure: everything(), write: everything(), read: everything() }
    }

    /// Permissions of these expressions.
    ///
    /// # Errors
    /// The first expression that is none, and what is wrong with it.
    pub fn checked(configure: &str, write: &str, read: &str) -> Result<Permissions, (String, String)> {
        let [configure, write, read] =
            [configure, write, read].map(|text| Pattern::checked(text).map_err(|fault| (text.to_owned(), fault)));
        Ok(Permissions { configure: configure?, write: write?, read: read? })
    }

    fn of(&self, access: Access) -> &Pattern {
        match access {
            Access::Configure => &self.configure,
            Access::Write => &self.write,
            Access::Read => &self.read,
        }
    }
}

/// What a user may do with routing keys of a topic exchange. The expressions may name `{username}` and `{vhost}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPermissions {
    write: TopicPattern,
    read: TopicPattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct TopicPattern {
    given: String,
    expanded: Pattern,
}

impl TopicPattern {
    /// What a variable stands for is text, whatever characters are in it: a user's name cannot widen an expression.
    fn expand(given: &str, user: &Name, vhost: &Name) -> String {
        let mut text = given.to_owned();
        for (variable, value) in [("{username}", user), ("{vhost}", vhost)] {
            if text.contains(variable) {
                text = text.replace(variable, &fancy_regex::escape(value.as_str()));
            }
        }
        text
    }
}

impl TopicPermissions {
    /// Topic permissions of a user in a virtual host.
    ///
    /// # Errors
    /// The first expression that is none, and what is wrong with it.
    pub fn checked(write: &str, read: &str, user: &Name, vhost: &Name) -> Result<TopicPermissions, (String, String)> {
        let checked = |given: &str| -> Result<TopicPattern, (String, String)> {
            let expanded = Pattern::checked(&TopicPattern::expand(given, user, vhost));
            let expanded = expanded.map_err(|fault| (given.to_owned(), fault))?;
            Ok(TopicPattern { given: given.to_owned(), expanded })
        };
        Ok(TopicPermissions { write: checked(write)?, read: checked(read)? })
    }

    /// The same for expressions that were checked once: one that is none permits nothing.
    pub fn new(write: &str, read: &str, user: &Name, vhost: &Name) -> TopicPermissions {
        let [write, read] = [write, read].map(|given| {
            let expanded = Pattern::new(&TopicPattern::expand(given, user, vhost));
            TopicPattern { given: given.to_owned(), expanded }
        });
        TopicPermissions { write, read }
    }

    /// The expression for keys that the user publishes with, as given.
    pub fn write(&self) -> &str {
        &self.write.given
    }

    /// The expression for keys that the user binds with, as given.
    pub fn read(&self) -> &str {
        &self.read.given
    }
}

/// All that a user may do in a virtual host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// None: the user may not open the virtual host.
    pub permissions: Option<Permissions>,
    /// By exchange.
    pub topics: BTreeMap<Name, TopicPermissions>,
}

impl Grants {
    /// Whether the user has this access to a name.
    pub fn permits(&self, access: Access, name: &str) -> bool {
        self.permissions.as_ref().is_some_and(|permissions| permissions.of(access).matches(name))
    }

    /// Whether the user may use a routing key of a topic exchange: any, unless there is a topic permission for it.
    pub fn permits_topic(&self, access: Access, exchange: &str, key: &str) -> bool {
        let Some(topic) = self.topics.get(exchange) else { return true };
        match access {
            Access::Write => topic.write.expanded.matches(key),
            Access::Read => topic.read.expanded.matches(key),
            Access::Configure => false,
        }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.permissions.is_none() && self.topics.is_empty()
    }
}
