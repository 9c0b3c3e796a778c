-- One row per cluster of customers of the current run: what it is like, and how far it moved since the run before.
with

profiles as (

    select * from {{ source('ml', 'cluster_profiles') }}

),

current_runs as (

    select * from {{ ref('current_runs') }}
    where
        task = 'segments'
        and status = 'ok'

),

final as (

    select
        profiles.cluster,
        profiles.cluster_name,
        profiles.profile as cluster_profile,
        profiles.run_id,
        profiles.customers,
        profiles.customer_share,
        profiles.monetary_share,
        profiles.median_recency_days,
        profiles.median_order_days,
        profiles.median_monetary_amount,
        profiles.shift,
        profiles.is_new,
        profiles.as_of_date,
        profiles.scored_at
    from profiles
    inner join current_runs
        on profiles.run_id = current_runs.run_id

)

select * from final
