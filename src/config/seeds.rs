//! The users and operator policies that virtual hosts are made with.

use super::declare::Kind;
use super::input::Input;
use super::kinds::name;
use super::secret::Secret;
use super::vhosts::is_pattern;
use crate::name::Name;

/// A user whom new virtual hosts have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VhostUser {
    /// The name.
    pub name: Name,
    /// The password of a user who is made; None = nobody logs in by one.
    pub password: Option<Secret>,
    /// The tags of a user who is made.
    pub tags: Vec<Name>,
    /// Which virtual hosts: a regular expression.
    pub vhosts: String,
    /// Names of what the user may make and delete there, write to, and read from: regular expressions.
    pub rights: [String; 3],
}

/// An operator policy that new virtual hosts have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VhostPolicy {
    /// The name.
    pub name: Name,
    /// Which virtual hosts: a regular expression.
    pub vhosts: String,
    /// Which queues: a regular expression.
    pub queues: String,
    /// Which kind of them.
    pub apply_to: &'static str,
    /// What it says, by RabbitMQ's keys.
    pub definition: Vec<(&'static str, u64)>,
}

/// What such a policy may say: the member of its table, RabbitMQ's key, the least value.
pub(super) const POLICY_KEYS: &[(&str, &str, u64)] = &[
    ("expires", "expires", 1),
    ("message_ttl", "message-ttl", 0),
    ("max_length", "max-length", 1),
    ("max_length_bytes", "max-length-bytes", 1),
    ("max_in_memory_length", "max-in-memory-length", 1),
    ("max_in_memory_bytes", "max-in-memory-bytes", 1),
    ("delivery_limit", "delivery-limit", 1),
];

/// What such a policy may be for.
pub(super) const APPLY_TO: &[&str] = &["all", "queues", "classic_queues", "quorum_queues", "streams", "exchanges"];

/// The longest time in milliseconds that a queue knows: ten years.
pub(super) const POLICY_TIME_MAX: u64 = 315_360_000_000;

/// Users of virtual hosts; none is fine.
pub(super) struct UsersOfVhosts;

impl Kind for UsersOfVhosts {
    type Value = Vec<VhostUser>;
    const SECRET: bool = true;

    fn expected(&self) -> String {
        "a list of users such as { name = \"monitor\", password = \"secret\", tags = [\"monitoring\"], vhosts = \".*\", \
         configure = \"^$\", write = \"^$\", read = \".*\" }, of which only the name must be there"
            .to_owned()
    }

    fn parse(&self, input: &Input) -> Option<Vec<VhostUser>> {
        input.tables()?.iter().map(|members| user(members)).collect()
    }
}

fn user(members: &[(String, Input)]) -> Option<VhostUser> {
    let everything = || ".*".to_owned();
    let mut found = VhostUser {
        name: Name::default(),
        password: None,
        tags: Vec::new(),
        vhosts: everything(),
        rights: [everything(), everything(), everything()],
    };
    let right = |input: &Input| input.text().filter(|text| is_right(text)).map(str::to_owned);
    for (member, value) in members {
        let [configure, write, read] = &mut found.rights;
        match member.as_str() {
            "name" => found.name = name(value.text()?)?,
            "password" => found.password = Some(Secret::new(value.text().filter(|text| !text.is_empty())?)),
            "tags" => found.tags = value.items()?.into_iter().map(name).collect::<Option<_>>()?,
            "vhosts" => found.vhosts = value.text().filter(|text| is_pattern(text))?.to_owned(),
            "configure" => *configure = right(value)?,
            "write" => *write = right(value)?,
            "read" => *read = right(value)?,
            _ => return None,
        }
    }
    (!found.name.as_str().is_empty()).then_some(found)
}

/// Whether it can be a permission: the empty one permits nothing.
pub(super) fn is_right(text: &str) -> bool {
    text.is_empty() || is_pattern(text)
}

/// Operator policies of virtual hosts; none is fine.
pub(super) struct PoliciesOfVhosts;

impl Kind for PoliciesOfVhosts {
    type Value = Vec<VhostPolicy>;

    fn expected(&self) -> String {
        let keys: Vec<&str> = POLICY_KEYS.iter().map(|(member, ..)| *member).collect();
        format!(
            "a list of policies such as {{ name = \"limits\", vhosts = \"^prod-\", queues = \".*\", apply_to = \"queues\", \
             max_length = 10000 }}, each with one or more of {}",
            keys.join(", ")
        )
    }

    fn parse(&self, input: &Input) -> Option<Vec<VhostPolicy>> {
        input.tables()?.iter().map(|members| policy(members)).collect()
    }
}

fn policy(members: &[(String, Input)]) -> Option<VhostPolicy> {
    let everything = || ".*".to_owned();
    let mut found = VhostPolicy {
        name: Name::default(),
        vhosts: everything(),
        queues: everything(),
        apply_to: "all",
        definition: Vec::new(),
    };
    for (member, value) in members {
        let pattern = || value.text().filter(|text| is_pattern(text)).map(str::to_owned);
        match member.as_str() {
            "name" => found.name = name(value.text()?)?,
            "vhosts" => found.vhosts = pattern()?,
            "queues" => found.queues = pattern()?,
            "apply_to" => found.apply_to = APPLY_TO.iter().find(|word| value.text() == Some(**word))?,
            member => {
                let (_, key, least) = POLICY_KEYS.iter().find(|(known, ..)| *known == member)?;
                let number = u64::try_from(value.integer()?).ok()?;
                found.definition.push((key, Some(number).filter(|number| fits(member, *number, *least))?));
            }
        }
    }
    (!found.name.as_str().is_empty() && !found.definition.is_empty()).then_some(found)
}

/// Whether a policy may say so.
pub(super) fn fits(member: &str, number: u64, least: u64) -> bool {
    let most = if ["expires", "message_ttl"].contains(&member) { POLICY_TIME_MAX } else { i64::MAX as u64 };
    (least..=most).contains(&number)
}

/// Words by names; none is fine.
pub(super) struct Labels;

impl Kind for Labels {
    type Value = Vec<(String, String)>;

    fn expected(&self) -> String {
        "texts by names, such as { region = \"north\", zone = \"2\" }".to_owned()
    }

    fn parse(&self, input: &Input) -> Option<Vec<(String, String)>> {
        if let Some(members) = input.members() {
            let label = |(name, value): (&str, &Input)| Some((name.to_owned(), value.text()?.to_owned()));
            return members.into_iter().map(label).collect();
        }
        let label = |item: &str| item.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        input.items()?.into_iter().map(label).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<K: Kind>(kind: &K, toml: &str) -> Option<K::Value> {
        kind.parse(&Input::Raw(toml.to_owned()))
    }

    #[test]
    fn users() {
        let found = parse(
            &UsersOfVhosts,
            "[{name='m', password='p', tags=['a','b'], vhosts='^x', configure='', write='^$', read='r'}, {name='n'}]",
        );
        let found = found.unwrap();
        assert_eq!((found[0].name.as_str(), found[0].password.as_ref().unwrap().reveal()), ("m", "p"));
        assert_eq!((found[0].tags.len(), &found[0].vhosts[..]), (2, "^x"));
        assert_eq!(found[0].rights, ["", "^$", "r"]);
        assert_eq!((&found[1].password, &found[1].vhosts[..]), (&None, ".*"));
        assert_eq!(parse(&UsersOfVhosts, "[]"), Some(Vec::new()));
        let wrong = ["x", "[1]", "['a']", "[{}]", "[{name=''}]", "[{name=1}]", "[{name='a', password=''}]", "{}"];
        let wrong =
            wrong.into_iter().chain(["[{name='a', vhosts='('}]", "[{name='a', read='('}]", "[{name='a', x=1}]"]);
        for toml in wrong.chain(["[{name='a', tags=[1]}]", "[[{name='a'}]]"]) {
            assert_eq!(parse(&UsersOfVhosts, toml), None, "{toml}");
        }
    }

    #[test]
    fn policies() {
        let toml = "[{name='l', vhosts='^p', queues='q', apply_to='queues', max_length=5, message_ttl=0}]";
        let found = parse(&PoliciesOfVhosts, toml).unwrap();
        assert_eq!((&found[0].vhosts[..], &found[0].queues[..], found[0].apply_to), ("^p", "q", "queues"));
        assert_eq!(found[0].definition, [("max-length", 5), ("message-ttl", 0)]);
        for toml in [
            "[{name='l'}]",
            "[{max_length=5}]",
            "[{name='l', max_length=0}]",
            "[{name='l', max_length=-1}]",
            "[{name='l', expires=315360000001}]",
            "[{name='l', max_length='x'}]",
            "[{name='l', max_length=1, apply_to='x'}]",
            "[{name='l', max_length=1, queues='('}]",
            "[{name='l', overflow=1}]",
        ] {
            assert_eq!(parse(&PoliciesOfVhosts, toml), None, "{toml}");
        }
    }

    #[test]
    fn labels() {
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(parse(&Labels, "a=b, c=d=e").unwrap(), [own("a", "b"), own("c", "d=e")]);
        let table = Input::Table(vec![("a".to_owned(), Input::Text("b".to_owned()))]);
        assert_eq!(Labels.parse(&table).unwrap(), [own("a", "b")]);
        assert_eq!(table.to_toml(|_| true), "{ a = \"b\" }");
        assert_eq!(parse(&Labels, "a"), None);
        assert_eq!(Labels.parse(&Input::Table(vec![("a".to_owned(), Input::Integer(1))])), None);
        assert_eq!(Labels.parse(&Input::Integer(1)), None);
    }
}
