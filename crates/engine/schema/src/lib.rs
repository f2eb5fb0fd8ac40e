//! What a type is: parse, validate, default, prune, merge, print. No HTTP.
