-- One row per stock movement document, with the time at which it really took place.
--
-- Nothing can be written down before it happened, so a movement dated after its own document is put
-- where the document was written. The exception is a receipt that was announced: its arrival was
-- expected after it was written down.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['movement_id'],
    meta={
        'entity': 'movement',
        'entity_column': 'movement_id',
        'touches': {
            'order': 'order_id',
            'stock_item': 'stock_item_key',
            'stock_month': ['stock_month', 'incoming_stock_month'],
        },
        'touched_also': [
            'select movements.movement_id from {{ this }} as movements where movements.sku in {{ touched("sku_code") }}',
            'select movements.movement_id from {{ this }} as movements'
            ' inner join {{ ref("int_skus_owned") }} as owners on movements.sku = owners.sku'
            ' where movements.cost_source <> \'movement\' and owners.product_id in {{ touched("product") }}',
        ],
    },
) }}

with

movements as (

    select * from {{ ref('stg_shop__inventory_movements') }}
    where {{ is_touched('movement_id') }}

),

skus as (

    select * from {{ ref('int_skus_owned') }}

),

costs as (

    select * from {{ ref('int_product_costs') }}

),

dated as (

    select
        *,
        coalesce(
            moved_at > created_at
            and (movement_type is distinct from 'receipt' or expected_at is null or expected_at <= created_at),
            false
        ) as is_out_of_order
    from movements

),

placed as (

    select
        *,
        case
            when is_out_of_order then created_at
            -- a receipt without a time has not arrived
            when moved_at is null and movement_type is distinct from 'receipt' then created_at
            else moved_at
        end as effective_at,
        case
            when movement_type = 'receipt'
                then coalesce(least(expected_at, created_at), expected_at, created_at)
        end as incoming_at
    from dated

),

costed as (

    select
        placed.*,
        coalesce(skus.product_key, '-1') as product_key,
        skus.product_id,
        coalesce(placed.unit_cost, costs.unit_cost) as known_unit_cost,
        case
            when placed.unit_cost is not null then 'movement'
            when costs.unit_cost is not null then 'price_history'
            else 'unknown'
        end as cost_source
    from placed
    left join skus
        on placed.sku = skus.sku
    left join costs
        on
            skus.product_id = costs.product_id
            and placed.unit_cost is null
            and placed.effective_at >= costs.valid_from
            and (placed.effective_at < costs.valid_until or costs.valid_until is null)

),

described as (

    select
        movement_id,
        sku,
        product_key,
        coalesce(location, '-1') as location_key,
        case when sku is not null then {{ surrogate_key(['sku', "coalesce(location, '-1')"]) }} end as stock_item_key,
        movement_type,
        coalesce(reference_type, movement_type) as reason,
        reference_id,
        case when reference_type = 'order' then reference_id end as order_id,
        cost_source,
        cast(quantity as {{ type_money() }}) as quantity,
        cast(known_unit_cost as {{ type_money() }}) as unit_cost_amount,
        cast({{ round_money('quantity * known_unit_cost') }} as {{ type_money() }}) as cost_amount,
        -- what the books of stock are built from
        not is_deleted
        and sku is not null
        and quantity is not null
        and (effective_at is not null or incoming_at is not null) as is_countable,
        is_deleted,
        is_out_of_order,
        product_key = '-1' as is_sku_unknown,
        -- a sale that adds or a receipt that takes away: kept as it is stated
        coalesce(
            (movement_type in ('sale', 'damage') and quantity > 0)
            or (movement_type in ('receipt', 'return') and quantity < 0),
            false
        ) as is_sign_unexpected,
        case when movement_type = 'receipt' then effective_at > expected_at end as is_late,
        {{ local_date('effective_at') }} as movement_date,
        {{ local_date('incoming_at') }} as incoming_date,
        effective_at as moved_at,
        moved_at as stated_at,
        created_at as recorded_at,
        expected_at
    from costed

),

final as (

    select
        *,
        -- what fct_inventory_levels is built by
        {{ dbt.concat(['stock_item_key', "'|'", 'cast(cast(' ~ dbt.date_trunc('month', 'movement_date') ~ ' as date) as ' ~ dbt.type_string() ~ ')']) }}
            as stock_month,
        {{ dbt.concat(['stock_item_key', "'|'", 'cast(cast(' ~ dbt.date_trunc('month', 'incoming_date') ~ ' as date) as ' ~ dbt.type_string() ~ ')']) }}
            as incoming_stock_month
    from described

)

select * from final
