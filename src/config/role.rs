//! The words for what a user is to a business.

use super::setting::choices;

choices! {
    /// What a user is to a business.
    RoleName {
        /// Who asks; also whoever comes without credentials.
        Customer = "customer",
        /// Who answers.
        Agent = "agent",
        /// The business's own software.
        Backend = "backend",
    }
}
