//! Every operation against every set of permissions. What each operation needs is written out here once more, as
//! compat.md 2.12 has it.

use super::*;
use crate::broker::refusal::Refusal;
use crate::broker::topology::Destination;
use crate::name::Name;

/// What an operation needs: access and name, in the order in which they are asked for.
type Needs = &'static [(Access, &'static str)];

const C: Access = Access::Configure;
const W: Access = Access::Write;
const R: Access = Access::Read;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Runs `judge` with every operation, its needs, and whether any one of them is enough.
fn every_operation(mut judge: impl FnMut(Operation<'_>, Needs, bool)) {
    let (x, ae, dlx, q) = ("x", "ae", "dlx", "q");
    let (to_queue, to_exchange) = (Destination::Queue(name(q)), Destination::Exchange(name("y")));
    let all: [(Operation<'_>, Needs, bool); 15] = [
        (Operation::DeclareExchange { exchange: x, alternate: None }, &[(C, "x")], false),
        (Operation::DeclareExchange { exchange: x, alternate: Some(ae) }, &[(C, "x"), (R, "x"), (W, "ae")], false),
        (Operation::DeleteExchange(x), &[(C, "x")], false),
        (Operation::DeclareQueue { queue: q, dead_letters: None }, &[(C, "q")], false),
        (Operation::DeclareQueue { queue: q, dead_letters: Some(dlx) }, &[(C, "q"), (R, "q"), (W, "dlx")], false),
        (Operation::DeleteQueue(q), &[(C, "q")], false),
        (Operation::Bind { destination: &to_exchange, source: x }, &[(W, "y"), (R, "x")], false),
        (Operation::Bind { destination: &to_queue, source: x }, &[(W, "q"), (R, "x")], false),
        (Operation::Publish(x), &[(W, "x")], false),
        (Operation::Publish(""), &[(W, "amq.default")], false),
        (Operation::Get(q), &[(R, "q")], false),
        (Operation::Consume(q), &[(R, "q")], false),
        (Operation::Purge(q), &[(R, "q")], false),
        (Operation::CheckQueue(q), &[(C, "q"), (W, "q"), (R, "q")], true),
        (Operation::CheckExchange(x), &[(C, "x"), (W, "x"), (R, "x")], true),
    ];
    all.into_iter().for_each(|(operation, needs, any)| judge(operation, needs, any));
}

/// Operations by number: one that is new does not compile until it is here, and then has to be in a table.
fn number_of(operation: Operation<'_>) -> usize {
    match operation {
        Operation::DeclareExchange { .. } => 0,
        Operation::CheckExchange(_) => 1,
        Operation::DeleteExchange(_) => 2,
        Operation::DeclareQueue { .. } => 3,
        Operation::CheckQueue(_) => 4,
        Operation::DeleteQueue(_) => 5,
        Operation::Bind { .. } => 6,
        Operation::Publish(_) => 7,
        Operation::Get(_) => 8,
        Operation::Consume(_) => 9,
        Operation::Purge(_) => 10,
        // They ask for topic permissions, in a test of their own.
        Operation::BindTopic { .. } => 11,
        Operation::PublishTopic { .. } => 12,
    }
}

#[test]
fn no_operation_is_forgotten() {
    let mut seen: Vec<usize> = Vec::new();
    every_operation(|operation, _, _| seen.push(number_of(operation)));
    every_key(|operation, _, _| seen.push(number_of(operation)));
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (0..13).collect::<Vec<_>>());
}

/// Runs `judge` with every use of a routing key of the exchanges "x" and "y", the access it needs, and the key.
fn every_key(mut judge: impl FnMut(Operation<'_>, Access, &str)) {
    for exchange in ["x", "y"] {
        for key in ["", "a.b", "a.c", "c.b", "u", "z"] {
            judge(Operation::PublishTopic { exchange, key }, W, key);
            judge(Operation::BindTopic { source: exchange, key }, R, key);
        }
    }
}

#[test]
fn every_key_against_every_topic_permission() {
    type Matching = fn(&str) -> bool;
    let patterns: [(&str, Matching); 6] = [
        ("", str::is_empty),
        (".*", |_| true),
        ("^a\\.", |key| key.starts_with("a.")),
        ("b$", |key| key.ends_with('b')),
        ("^{username}$", |key| key == "u"),
        ("(", |_| false),
    ];
    let (user, vhost, x, mut judged) = (name("u"), name("/"), name("x"), 0);
    for (write, writes) in patterns {
        for (read, reads) in patterns {
            let topic = TopicPermissions::new(write, read, &user, &vhost);
            for permissions in [None, Some(Permissions::all())] {
                let topics = [(x.clone(), topic.clone())].into_iter().collect();
                let grants = Grants { permissions, topics };
                every_key(|operation, access, key| {
                    let limited = matches!(
                        operation,
                        Operation::PublishTopic { exchange: "x", .. } | Operation::BindTopic { source: "x", .. }
                    );
                    let allowed = !limited || if access == W { writes(key) } else { reads(key) };
                    let verdict = authorize(Some(&grants), &user, &vhost, operation);
                    assert_eq!(verdict.is_ok(), allowed, "{operation:?} with {write:?} and {read:?}");
                    judged += 1;
                });
            }
        }
    }
    assert_eq!(judged, 6 * 6 * 2 * 24);
}

#[test]
fn every_operation_against_every_permission_set() {
    // Each of the three expressions is one of these: nothing, everything, or a single name.
    let patterns = ["", ".*", "^x$", "^y$", "^ae$", "^q$", "^dlx$", "^amq\\.default$", "^z$", "("];
    let (user, vhost, mut judged) = (name("u"), name("/"), 0);
    for configure in patterns {
        for write in patterns {
            for read in patterns {
                let [configure, write, read] = [configure, write, read].map(Pattern::new);
                let has = |access: Access, name: &str| match access {
                    Access::Configure => configure.matches(name),
                    Access::Write => write.matches(name),
                    Access::Read => read.matches(name),
                };
                let permissions =
                    Permissions { configure: configure.clone(), write: write.clone(), read: read.clone() };
                let grants = Grants { permissions: Some(permissions), ..Grants::default() };
                every_operation(|operation, needs, any| {
                    let missing = needs.iter().find(|(access, name)| !has(*access, name));
                    let allowed = if any { needs.iter().any(|(a, n)| has(*a, n)) } else { missing.is_none() };
                    let verdict = authorize(Some(&grants), &user, &vhost, operation);
                    assert_eq!(verdict.is_ok(), allowed, "{operation:?} with {grants:?}");
                    if let (Err(Refusal::AccessRefused { access, resource, .. }), Some((wanted, name))) =
                        (&verdict, missing)
                    {
                        assert_eq!((*access, resource.name.as_str()), (wanted.word(), *name), "{operation:?}");
                    }
                    judged += 1;
                });
            }
        }
    }
    assert_eq!(judged, 15_000);
}

#[test]
fn without_permissions_nothing_is_allowed() {
    let (user, vhost) = (name("u"), name("/"));
    every_operation(|operation, _, _| {
        assert!(authorize(None, &user, &vhost, operation).is_err(), "{operation:?}");
        assert!(authorize(Some(&Grants::default()), &user, &vhost, operation).is_err(), "{operation:?}");
    });
}

#[test]
fn texts_and_the_order_of_checks() {
    let (user, vhost) = (name("u"), name("v"));
    let nothing = Grants { permissions: Some(Permissions::checked("", "", "").unwrap()), ..Grants::default() };
    let text = |operation| authorize(Some(&nothing), &user, &vhost, operation).unwrap_err().to_string();
    let queue = Destination::Queue(name("q"));
    assert_eq!(text(Operation::Get("q")), "read access to queue 'q' in vhost 'v' refused for user 'u'");
    let default = "write access to exchange 'amq.default' in vhost 'v' refused for user 'u'";
    assert_eq!(text(Operation::Publish("")), default);
    // The default exchange and the broker's own are refused before permissions are looked at.
    let declare = Operation::DeclareExchange { exchange: "", alternate: None };
    assert_eq!(text(declare), "operation not permitted on the default exchange");
    let delete = Operation::DeleteExchange("amq.direct");
    assert_eq!(text(delete), "deletion of system exchange 'amq.direct' in vhost 'v' not allowed");
    // A binding's destination before its source.
    let bind = Operation::Bind { destination: &queue, source: "" };
    assert_eq!(text(bind), "write access to queue 'q' in vhost 'v' refused for user 'u'");
}

#[test]
fn topics() {
    let (user, vhost, x) = (name("a.b"), name("v"), name("x"));
    let topic = TopicPermissions::checked("^{username}\\.", "^{vhost}-[0-9]$", &user, &vhost).unwrap();
    let mut grants = Grants { permissions: Some(Permissions::all()), ..Grants::default() };
    let may = |grants: &Grants, operation| authorize(Some(grants), &user, &vhost, operation);
    assert!(may(&grants, Operation::PublishTopic { exchange: "x", key: "anything" }).is_ok(), "without a record");
    grants.topics.insert(x.clone(), topic);
    assert!(may(&grants, Operation::PublishTopic { exchange: "x", key: "a.b.c" }).is_ok());
    // The dot in the user's name is a dot.
    let refused = may(&grants, Operation::PublishTopic { exchange: "x", key: "aXb.c" }).unwrap_err();
    let text = "write access to topic 'aXb.c' in exchange 'x' in vhost 'v' refused for user 'a.b'";
    assert_eq!(refused.to_string(), text);
    assert!(may(&grants, Operation::BindTopic { source: "x", key: "v-7" }).is_ok());
    assert!(may(&grants, Operation::BindTopic { source: "x", key: "v-77" }).is_err());
    let empty = TopicPermissions::checked("", "", &user, &vhost).unwrap();
    grants.topics.insert(x.clone(), empty);
    assert!(may(&grants, Operation::PublishTopic { exchange: "x", key: "" }).is_ok(), "the empty key alone");
    assert!(may(&grants, Operation::PublishTopic { exchange: "x", key: "k" }).is_err());
}

#[test]
fn users_keep_what_they_may_do_until_they_go() {
    let (mut users, guest, vhost, x) = (Users::default(), name("guest"), name("/"), name("x"));
    assert!(!users.set_permissions("guest", &vhost, Some(Permissions::all())), "no such user");
    assert!(users.put(User::new(guest.clone(), PasswordHash::default(), &[])));
    assert!(users.set_permissions("guest", &vhost, Some(Permissions::all())));
    let topic = TopicPermissions::checked("a", "b", &guest, &vhost).unwrap();
    assert!(users.set_topic("guest", &vhost, &x, Some(topic)));
    assert!(!users.put(User::new(guest.clone(), PasswordHash::default(), &["management"])));
    assert!(users.get("guest").unwrap().identity().has_tag("management"));
    assert!(users.set_permissions("guest", &vhost, None) && !users.set_permissions("guest", &vhost, None));
    // Topic permissions are a matter of their own.
    assert_eq!(users.grants("guest", "/").unwrap().topics.len(), 1);
    assert!(users.set_topic("guest", &vhost, &x, None) && !users.set_topic("guest", &vhost, &x, None));
    assert_eq!(users.all_grants().count(), 0);
    assert!(users.set_permissions("guest", &vhost, Some(Permissions::all())));
    users.forget_vhost("/");
    assert!(users.grants("guest", "/").is_none());
    assert!(users.remove("guest") && !users.remove("guest") && users.is_empty());
}
