-- An account and the account that it was merged into are one person, however long the chain.
select
    merged.identity_id,
    merged.customer_key,
    survivor.customer_key as survivor_customer_key
from {{ ref('int_customer_identities') }} as identities
inner join {{ ref('int_customers_resolved') }} as merged
    on identities.identity_id = merged.identity_id
inner join {{ ref('int_customers_resolved') }} as survivor
    on identities.merged_into_identity_id = survivor.identity_id
where merged.customer_key <> survivor.customer_key
