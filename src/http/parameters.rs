//! Parameters of virtual hosts and of the node. Operator policies and limits of virtual hosts are parameters too, as in
//! RabbitMQ's definitions; they have endpoints of their own.

use super::answer::{Answer, Failure, Outcome};
use super::json;
use super::list::{Ident, list, object};
use super::request::Request;
use super::route::{Needs, Route, Type, delete, get, put};
use crate::definitions::export;
use crate::engine::ParameterRecord;
use crate::name::Name;

const VALUE: &[(&str, Type, bool)] = &[("value", Type::Any, true)];

pub(super) const ROUTES: &[Route] = &[
    get("/parameters", Needs::Policymaker, parameters, "Parameters of virtual hosts").paged(),
    get("/parameters/{component}", Needs::Policymaker, parameters, "The same of one component").paged(),
    get("/parameters/{component}/{vhost}", Needs::PolicymakerThere, parameters, "The same in a virtual host").paged(),
    get("/parameters/{component}/{vhost}/{name}", Needs::PolicymakerThere, parameter, "A parameter"),
    put("/parameters/{component}/{vhost}/{name}", Needs::PolicymakerThere, set, "Sets it").takes(VALUE),
    delete("/parameters/{component}/{vhost}/{name}", Needs::PolicymakerThere, clear, "Clears it"),
    get("/global-parameters", Needs::Policymaker, globals, "Parameters of the node").paged(),
    get("/global-parameters/{name}", Needs::Policymaker, global, "A parameter of the node"),
    put("/global-parameters/{name}", Needs::Policymaker, set_global, "Sets it").takes(VALUE),
    delete("/global-parameters/{name}", Needs::Policymaker, clear_global, "Clears it"),
];

fn ident(record: &ParameterRecord) -> Ident {
    Ident::new(record.vhost.as_ref().map_or("", Name::as_str), record.name.as_str())
}

fn parameters(request: &Request) -> Outcome {
    let (vhosts, component) = (request.vhosts()?, request.param("component"));
    let mut records = request.broker.parameters();
    records.retain(|record| {
        record.vhost.as_ref().is_some_and(|vhost| vhosts.contains(vhost))
            && (component.is_empty() || record.component.as_str() == component)
    });
    list(request, records, ident, export::parameter)
}

fn find(request: &Request, vhost: Option<&Name>, component: &str) -> Option<ParameterRecord> {
    let name = request.param("name");
    request.broker.parameters().into_iter().find(|record| {
        record.vhost.as_ref() == vhost && record.component.as_str() == component && record.name.as_str() == name
    })
}

fn parameter(request: &Request) -> Outcome {
    let vhost = request.vhost()?;
    let found = find(request, Some(&vhost), request.param("component")).ok_or_else(Failure::not_found)?;
    Ok(object(request, export::parameter(&found)))
}

fn write(request: &Request, vhost: Option<&Name>, component: &Name) -> Outcome {
    let body = request.object()?;
    let value = json::value(body.get("value").ok_or_else(|| json::missing("value"))?, 0)?;
    let name = request.name("name").map_err(|_| Failure::bad_request("a name is at most 255 bytes long"))?;
    let there = find(request, vhost, component.as_str()).is_some();
    let epoch = request.broker.put_parameter(vhost, component, &name, value)?;
    Ok(Answer::put(!there).after(epoch))
}

fn set(request: &Request) -> Outcome {
    let vhost = request.vhost()?;
    let component = request.name("component")?;
    write(request, Some(&vhost), &component)
}

fn erase(request: &Request, vhost: Option<&Name>, component: &Name) -> Outcome {
    let name = request.name("name")?;
    let removed = request.broker.remove_parameter(vhost, component, &name);
    if removed { Ok(Answer::nothing().after(Some(request.broker.open_epoch()))) } else { Err(Failure::not_found()) }
}

fn clear(request: &Request) -> Outcome {
    let vhost = request.vhost()?;
    let component = request.name("component")?;
    erase(request, Some(&vhost), &component)
}

fn globals(request: &Request) -> Outcome {
    let mut records = request.broker.parameters();
    records.retain(|record| record.vhost.is_none());
    list(request, records, ident, export::parameter)
}

fn global(request: &Request) -> Outcome {
    let found = find(request, None, "").ok_or_else(Failure::not_found)?;
    Ok(object(request, export::parameter(&found)))
}

fn set_global(request: &Request) -> Outcome {
    write(request, None, &Name::default())
}

fn clear_global(request: &Request) -> Outcome {
    erase(request, None, &Name::default())
}
