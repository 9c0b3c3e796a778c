-- One row per pair of sales channel and marketing channel that any order came through, plus '-1'.
with

orders as (

    select * from {{ ref('int_order_channels') }}

),

final as (

    select
        channel_key,
        sales_channel,
        marketing_channel,
        marketing_channel in ('paid_search', 'paid_social', 'display', 'affiliate', 'sms') as is_paid,
        sales_channel in ('web', 'app') as is_online
    from orders
    group by channel_key, sales_channel, marketing_channel

    union all

    select
        '-1' as channel_key,
        'unknown' as sales_channel,
        'unknown' as marketing_channel,
        cast(null as {{ dbt.type_boolean() }}) as is_paid,
        cast(null as {{ dbt.type_boolean() }}) as is_online

)

select * from final
