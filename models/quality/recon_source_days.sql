-- One row per collection and day of the source's clock: source and raw, as the last load compared them.
with

reconciliation as (

    select * from {{ source('ops', 'reconciliation') }}

),

load_runs as (

    select * from {{ source('ops', 'load_runs') }}

),

quarantine as (

    select * from {{ source('ops', 'quarantine') }}

),

quarantined as (

    select
        collection,
        count(*) as quarantined_count
    from quarantine
    group by collection

),

final as (

    select
        reconciliation.collection,
        load_runs.mode as load_mode,
        reconciliation.batch_id,
        reconciliation.source_count,
        reconciliation.raw_count,
        coalesce(quarantined.quarantined_count, 0) as quarantined_count,
        reconciliation.source_hash = reconciliation.raw_hash as has_equal_content,
        reconciliation.is_whole_day,
        (
            reconciliation.source_count = reconciliation.raw_count
            and reconciliation.source_hash = reconciliation.raw_hash
        )
        or (
            quarantined.quarantined_count > 0
            and reconciliation.source_count between reconciliation.raw_count
            and reconciliation.raw_count + quarantined.quarantined_count
        ) as is_reconciled,
        reconciliation.day as source_date,
        reconciliation.compared_at
    from reconciliation
    left join load_runs
        on reconciliation.batch_id = load_runs.batch_id
    left join quarantined
        on reconciliation.collection = quarantined.collection

)

select * from final
