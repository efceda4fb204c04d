//! Holds compiled admission policies with their bindings, and judges an object by one.
//!
//! Does not find objects, parameters or namespaces: it is given them.

use kube_cel::cel::Value as CelValue;
use serde_json::Value;

use super::conditions::{Conditions, Scope, Verdict, names, out_of_budget, resulted};
use super::matching::Matching;
use crate::schema::cel::{Declared, Expression, Fault, dynamic};
use crate::schema::{Kind, Node};
use crate::selector::LabelSelector;

/// What one evaluation of a policy may cost. As in Kubernetes.
const BUDGET: u64 = 10_000_000;
/// Of what a `messageExpression` gives, in bytes. As in Kubernetes.
const LONGEST_MESSAGE: usize = 5 * 1024;

/// A ValidatingAdmissionPolicy.
#[derive(Debug)]
pub(crate) struct Policy {
    pub name: String,
    pub matching: Matching,
    /// `failurePolicy: Ignore`.
    pub fails_open: bool,
    /// apiVersion and kind of the parameters.
    pub params: Option<(String, String)>,
    pub bindings: Vec<Binding>,
    conditions: Conditions,
    variables: Vec<Variable>,
    validations: Vec<Validation>,
    /// What goes into the audit log, by key.
    annotations: Vec<(String, Compiled)>,
}

/// A ValidatingAdmissionPolicyBinding.
#[derive(Debug)]
pub(crate) struct Binding {
    pub name: String,
    /// Absent if the binding does not narrow what the policy matches.
    pub matching: Option<Matching>,
    pub params: Option<ParamRef>,
    pub actions: Vec<Action>,
}

/// Which objects are parameters.
#[derive(Debug)]
pub(crate) struct ParamRef {
    /// By name, else by labels.
    pub name: Option<String>,
    pub selector: LabelSelector,
    /// Empty means that of the request.
    pub namespace: String,
    /// `parameterNotFoundAction: Deny`.
    pub must_exist: bool,
}

/// What is done about an object that is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Deny,
    Warn,
    Audit,
}

impl Action {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "Deny",
            Self::Warn => "Warn",
            Self::Audit => "Audit",
        }
    }
}

/// Why an object is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub message: String,
    /// The `reason` of the answer; empty if the policy names none.
    pub reason: String,
    /// Of the validation, in the policy.
    pub at: usize,
}

/// What a policy says about an object.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    pub complaints: Vec<Complaint>,
    /// For the audit log, by key.
    pub annotations: Vec<(String, String)>,
}

type Compiled = Result<Expression, String>;

#[derive(Debug)]
struct Variable {
    /// `variables.x`.
    dotted: String,
    name: String,
    expression: Compiled,
}

#[derive(Debug)]
struct Validation {
    rule: Compiled,
    message: String,
    message_expression: Option<Expression>,
    reason: String,
}

impl Policy {
    /// Compiles a policy. Bindings are those of all policies.
    pub(crate) fn read(policy: &Value, bindings: &[Value]) -> Result<Self, String> {
        let spec = &policy["spec"];
        let name = text(&policy["metadata"], "name");
        let kind = &spec["paramKind"];
        let params = kind
            .is_object()
            .then(|| (text(kind, "apiVersion"), text(kind, "kind")));
        let mut known = Known::new(params.is_some());
        let variables = list(&spec["variables"]).map(|variable| {
            let expression = known.compile(&text(variable, "expression"), "");
            let name = text(variable, "name");
            known.add(&name);
            Variable {
                dotted: format!("variables.{name}"),
                name,
                expression,
            }
        });
        let variables = variables.collect();
        let validations = list(&spec["validations"]).map(|validation| Validation {
            rule: known.compile(&text(validation, "expression"), "bool"),
            message: text(validation, "message").trim().to_owned(),
            message_expression: match text(validation, "messageExpression").as_str() {
                "" => None,
                source => known.compile(source, "string").ok(),
            },
            reason: text(validation, "reason"),
        });
        let annotations = list(&spec["auditAnnotations"]).map(|annotation| {
            let value = known.compile(&text(annotation, "valueExpression"), "");
            (text(annotation, "key"), value)
        });
        let ours = bindings.iter().filter(|b| b["spec"]["policyName"] == *name);
        Ok(Self {
            matching: Matching::of_policy(&spec["matchConstraints"])?,
            fails_open: spec["failurePolicy"] == "Ignore",
            conditions: Conditions::read(&spec["matchConditions"], params.is_some()),
            variables,
            validations: validations.collect(),
            annotations: annotations.collect(),
            bindings: ours.map(Binding::read).collect::<Result<_, _>>()?,
            params,
            name,
        })
    }

    /// Judges an object. `scope` has all names but `params` and variables.
    pub(crate) fn judge<'a>(&'a self, mut scope: Scope<'a>, params: Option<&Value>) -> Judgement {
        let mut judgement = Judgement::default();
        if self.params.is_some() {
            let params = dynamic(params.unwrap_or(&Value::Null));
            scope.push(("params", Ok(params)));
        }
        match self.conditions.verdict(&scope) {
            Verdict::Met => {}
            Verdict::Unmet => return judgement,
            Verdict::Unknown(why) => {
                judgement.complaints.extend(self.failed(why, 0));
                return judgement;
            }
        }
        let mut run = Run {
            policy: self,
            scope,
            left: BUDGET,
        };
        for (at, validation) in self.validations.iter().enumerate() {
            let found = match run.evaluate(&validation.rule) {
                Ok(CelValue::Bool(true)) => None,
                Ok(CelValue::Bool(false)) => Some(run.complaint(validation, at)),
                Ok(_) => self.failed(unexpected(&validation.rule), at),
                Err(why) => self.failed(why, at),
            };
            judgement.complaints.extend(found);
        }
        for (at, (key, value)) in self.annotations.iter().enumerate() {
            let found = match run.evaluate(value) {
                Ok(CelValue::String(text)) => {
                    let text = text.trim().to_owned();
                    judgement.annotations.push((key.clone(), text));
                    None
                }
                Ok(CelValue::Null) => None,
                Ok(_) => self.failed(unexpected(value), at),
                Err(why) => self.failed(why, at),
            };
            judgement.complaints.extend(found);
        }
        judgement
    }

    /// What cannot be evaluated is a refusal, unless the policy says otherwise.
    fn failed(&self, message: String, at: usize) -> Option<Complaint> {
        if self.fails_open {
            tracing::warn!(
                policy = self.name,
                why = message,
                "the policy failed, and is ignored"
            );
            return None;
        }
        Some(Complaint {
            message,
            reason: String::new(),
            at,
        })
    }
}

impl Binding {
    fn read(binding: &Value) -> Result<Self, String> {
        let spec = &binding["spec"];
        let resources = &spec["matchResources"];
        let reference = &spec["paramRef"];
        let params = reference.is_object().then(|| {
            Ok::<_, String>(ParamRef {
                name: Some(text(reference, "name")).filter(|name| !name.is_empty()),
                selector: LabelSelector::from_object(&reference["selector"])?,
                namespace: text(reference, "namespace"),
                must_exist: reference["parameterNotFoundAction"] != "Allow",
            })
        });
        let actions =
            list(&spec["validationActions"]).filter_map(|action| match action.as_str()? {
                "Deny" => Some(Action::Deny),
                "Warn" => Some(Action::Warn),
                "Audit" => Some(Action::Audit),
                _ => None,
            });
        Ok(Self {
            name: text(&binding["metadata"], "name"),
            matching: resources
                .is_object()
                .then(|| Matching::of_binding(resources))
                .transpose()?,
            params: params.transpose()?,
            actions: actions.collect(),
        })
    }
}

/// One evaluation: what names stand for by now, and what is left to spend.
struct Run<'a> {
    policy: &'a Policy,
    scope: Scope<'a>,
    left: u64,
}

impl<'a> Run<'a> {
    /// The error is told as it is.
    fn evaluate(&mut self, expression: &'a Compiled) -> Result<CelValue, String> {
        let expression = expression.as_ref().map_err(String::clone)?;
        self.provide(expression);
        expression
            .run(&self.scope, &mut self.left)
            .map_err(|fault| match fault {
                Fault::Error(why) => resulted(expression.source(), &why),
                Fault::OverBudget => out_of_budget(),
            })
    }

    /// Evaluates the variables that an expression uses and that nothing used before.
    fn provide(&mut self, expression: &Expression) {
        let policy = self.policy;
        for variable in &policy.variables {
            let there = self.scope.iter().any(|(name, _)| *name == variable.dotted);
            if there || !expression.selects("variables", &variable.name) {
                continue;
            }
            let outcome = match &variable.expression {
                Ok(expression) => {
                    // Only what comes before is known to it, so this ends.
                    self.provide(expression);
                    expression.run(&self.scope, &mut self.left)
                }
                Err(why) => Err(Fault::Error(why.clone())),
            };
            self.scope.push((&variable.dotted, outcome));
        }
    }

    fn complaint(&mut self, validation: &'a Validation, at: usize) -> Complaint {
        Complaint {
            message: self.message(validation),
            reason: validation.reason.clone(),
            at,
        }
    }

    fn message(&mut self, validation: &'a Validation) -> String {
        if let Some(expression) = &validation.message_expression {
            self.provide(expression);
            if let Ok(CelValue::String(text)) = expression.run(&self.scope, &mut self.left) {
                let text = text.trim();
                if !text.is_empty() && text.len() <= LONGEST_MESSAGE && !text.contains('\n') {
                    return text.to_owned();
                }
            }
        }
        match (validation.message.as_str(), &validation.rule) {
            ("", Ok(rule)) => format!("failed expression: {}", rule.source().trim()),
            (message, _) => message.to_owned(),
        }
    }
}

fn unexpected(expression: &Compiled) -> String {
    match expression {
        Ok(expression) => resulted(expression.source(), "no such overload"),
        Err(why) => why.clone(),
    }
}

/// The names that expressions of a policy may use, more with each variable.
pub(crate) struct Known {
    names: Vec<Declared<'static>>,
    variables: Node,
}

impl Known {
    pub(crate) fn new(with_params: bool) -> Self {
        let mut names = names(with_params);
        names.push(Declared {
            name: "namespaceObject",
            shape: None,
        });
        let variables = Node {
            kind: Some(Kind::Object),
            ..Node::default()
        };
        Self { names, variables }
    }

    pub(crate) fn add(&mut self, variable: &str) {
        self.variables
            .properties
            .insert(variable.into(), Node::default());
    }

    /// Compiles over what is known by now.
    pub(crate) fn compile(&self, source: &str, want: &str) -> Compiled {
        let mut names = self.names.clone();
        names.push(Declared {
            name: "variables",
            shape: Some(&self.variables),
        });
        Expression::compile(source, &names, want)
    }
}

fn text(of: &Value, field: &str) -> String {
    of[field].as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests;
