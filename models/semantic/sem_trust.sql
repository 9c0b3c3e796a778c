-- One row: how far the data goes, and whether it reconciles; for those who may read neither in full.
with

store_clock as (

    select * from {{ ref('int_store_clock') }}

),

collections as (

    select * from {{ ref('recon_collections') }}

),

money as (

    select * from {{ ref('recon_money') }}

),

compared as (

    select is_reconciled from collections
    union all
    select is_reconciled from money

),

counted as (

    select
        count(*) as comparisons,
        count(case when not is_reconciled then 1 end) as gaps
    from compared

),

final as (

    select
        counted.comparisons,
        counted.gaps,
        store_clock.as_of_date,
        store_clock.last_loaded_at
    from store_clock
    cross join counted

)

select * from final
