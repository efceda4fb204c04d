//! Prints an error with its causes, each once.

use std::error::Error;
use std::fmt;

/// An error and everything behind it, on one line.
///
/// A cause whose text is already part of its parent's (kube's are) is not said again; of what the
/// API server answered, only its words are.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = words(self.0);
        f.write_str(&said)?;
        let mut last = self.0;
        while let (None, Some(error)) = (answer(last), last.source()) {
            let text = words(error);
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            last = error;
        }
        Ok(())
    }
}

/// What the API server said, if this is its answer; kube prints all of its fields beside it.
fn answer<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a str> {
    let boxed = || error.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref);
    match error.downcast_ref::<kube::Error>().or_else(boxed) {
        Some(kube::Error::Api(status)) if !status.message.is_empty() => Some(&status.message),
        Some(_) | None => None,
    }
}

fn words(error: &(dyn Error + 'static)) -> String {
    answer(error).map_or_else(|| error.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Link>>,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read")]
    struct Reading(#[source] Box<kube::Error>);

    #[test]
    fn of_an_answer_of_the_server_only_its_words_are_said() {
        let status = || {
            let status = serde_json::json!({"message": "secrets \"key\" is forbidden",
                "status": "Failure", "reason": "Forbidden", "code": 403});
            kube::Error::Api(serde_json::from_value(status).unwrap())
        };

        assert_eq!(Chain(&status()).to_string(), "secrets \"key\" is forbidden");
        assert_eq!(
            Chain(&Reading(Box::new(status()))).to_string(),
            "cannot read: secrets \"key\" is forbidden"
        );
    }

    #[test]
    fn a_cause_that_was_said_is_not_repeated() {
        let error = Link {
            text: "cannot write: disk full",
            source: Some(Box::new(Link {
                text: "disk full",
                source: Some(Box::new(Link {
                    text: "28 bytes missing",
                    source: None,
                })),
            })),
        };
        assert_eq!(
            Chain(&error).to_string(),
            "cannot write: disk full: 28 bytes missing"
        );
    }
}
