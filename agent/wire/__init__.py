"""The contract with the issuer: messages, envelope, topics. The only part of the agent that the issuer imports."""
