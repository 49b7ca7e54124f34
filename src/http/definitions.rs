//! Definitions: exported and imported, of the whole broker and of a virtual host.

use super::answer::{Answer, Failure, Outcome};
use super::request::Request;
use super::route::{Needs, Route, Type, get, post};
use crate::definitions::{Definitions, export, import};

const BODY: &[(&str, Type, bool)] = &[
    ("users", Type::List, false),
    ("vhosts", Type::List, false),
    ("permissions", Type::List, false),
    ("queues", Type::List, false),
    ("exchanges", Type::List, false),
    ("bindings", Type::List, false),
    ("policies", Type::List, false),
    ("parameters", Type::List, false),
];

pub(super) const ROUTES: &[Route] = &[
    get("/definitions", Needs::Administrator, all, "Definitions of the whole broker; `?download=file.json`"),
    post("/definitions", Needs::Administrator, set_all, "Imports them: nothing is deleted").takes(BODY),
    get("/all-configuration", Needs::Administrator, all, "The older name of /definitions"),
    post("/all-configuration", Needs::Administrator, set_all, "The older name of /definitions").takes(BODY),
    get("/definitions/{vhost}", Needs::Administrator, one, "Definitions of a virtual host"),
    post("/definitions/{vhost}", Needs::Administrator, set_one, "Imports definitions into a virtual host").takes(BODY),
];

fn file(request: &Request, answer: Answer) -> Answer {
    match request.query("download") {
        None => answer,
        Some(name) => {
            // A name from the query must not end the header.
            let name: String = name.chars().filter(|c| !c.is_control() && *c != '"').collect();
            answer.header("content-disposition", format!("attachment; filename=\"{name}\""))
        }
    }
}

fn all(request: &Request) -> Outcome {
    if let Some(vhost) = request.header("x-vhost") {
        let vhost = request.broker.vhost_name(vhost).ok_or_else(Failure::not_found)?;
        return Ok(file(request, Answer::json(&export::vhost(&request.broker, &vhost, request.place.version))));
    }
    let definitions = export::cluster(&request.broker, &request.broker.cluster_name(), request.place.version);
    Ok(file(request, Answer::json(&definitions)))
}

fn one(request: &Request) -> Outcome {
    let vhost = request.vhost()?;
    Ok(file(request, Answer::json(&export::vhost(&request.broker, &vhost, request.place.version))))
}

/// The file itself: the body, or the field `file` of a form.
fn uploaded(request: &Request) -> Result<&[u8], Failure> {
    let kind = request.header("content-type").unwrap_or_default();
    let Some((_, parameters)) = kind.split_once(';').filter(|(kind, _)| kind.trim() == "multipart/form-data") else {
        return Ok(&request.body);
    };
    let boundary = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("boundary="));
    let boundary = boundary.map(|boundary| boundary.trim_matches('"')).unwrap_or_default();
    let no_file = || Failure::bad_request("the form has no field 'file'");
    if boundary.is_empty() {
        return Err(no_file());
    }
    let (first, mark) = (format!("--{boundary}"), format!("\r\n--{boundary}"));
    let mut rest = request.body.as_slice();
    let start = find(rest, first.as_bytes()).ok_or_else(no_file)? + first.len();
    rest = rest.get(start..).unwrap_or_default();
    while let Some(end) = find(rest, mark.as_bytes()) {
        let part = rest.get(..end).unwrap_or_default();
        if let Some(at) = find(part, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(part.get(..at).unwrap_or_default()).to_lowercase();
            if head.contains("name=\"file\"") || head.contains("name=file") {
                return Ok(part.get(at + 4..).unwrap_or_default());
            }
        }
        rest = rest.get(end + mark.len()..).unwrap_or_default();
    }
    Err(no_file())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn make(request: &Request, definitions: Result<Definitions, crate::definitions::Fault>) -> Outcome {
    let refused = |fault: crate::definitions::Fault| {
        let colon = if fault.place.is_empty() { "" } else { ": " };
        Failure::bad_request(format!("{}{colon}{}", fault.place, fault.problem))
    };
    import(&request.broker, definitions.map_err(refused)?).map_err(refused)?;
    Ok(Answer::nothing().after(Some(request.broker.open_epoch())))
}

fn set_all(request: &Request) -> Outcome {
    let text = uploaded(request)?;
    if let Some(vhost) = request.header("x-vhost") {
        let vhost = request.broker.vhost_name(vhost).ok_or_else(Failure::not_found)?;
        return make(request, Definitions::parse_for_vhost(text, &vhost));
    }
    make(request, Definitions::parse(text))
}

fn set_one(request: &Request) -> Outcome {
    let vhost = request.vhost()?;
    make(request, Definitions::parse_for_vhost(uploaded(request)?, &vhost))
}
