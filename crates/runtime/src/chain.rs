//! Prints an error with its causes, each once.

use std::error::Error;
use std::fmt;

/// An error and everything behind it, on one line.
///
/// A cause whose text is already part of its parent's (kube's are) is not said again.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            let text = error.to_string();
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            source = error.source();
        }
        Ok(())
    }
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
